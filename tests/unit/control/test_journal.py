"""The journal gives back the state it was written from, and holds no secret."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.catalog.model import Catalog, Dependency, Local, Port, Scaling, Service
from services.scaler.control import journal as journal_module
from services.scaler.control.journal import Journal, dump_world, restore
from services.scaler.core.events import (
    Adopted,
    Demand,
    DemandLeft,
    Drained,
    Event,
    Flow,
    Measured,
    Paused,
    PinSet,
    Prepared,
    Progress,
    Ready,
    Restarted,
    Started,
    Tick,
    Traffic,
    Withdrawn,
)
from services.scaler.core.fleet import Fleet
from services.scaler.core.state import Settings

SECRET = "hunter2-in-the-environment"


def catalog() -> Catalog:
    web = Service(
        "web",
        ports=(Port("main", 80),),
        scaling=Scaling(idle_timeout=10, stop_after=20),
        depends_on=(Dependency("db"),),
        environment={"PASSWORD": SECRET},
        local=Local(("run", SECRET), environment={"TOKEN": SECRET}),
        labels={"key": SECRET},
    )
    return Catalog({"web": web, "db": Service("db", ports=(Port("main", 5432),))})


STORY: list[tuple[Event, float]] = [
    (Restarted(catalog(), {}, {"memory": 4 << 30}, (Adopted("db-7", "db", {"main": "127.0.0.1:2"}, 9, "ready"),)), 1.0),
    (Demand(1, "web", 60), 2.0),
    (Progress("web", "downloading", 0.5, "a wheel"), 2.5),
    (Prepared("web", 3), 3.0),
    (Demand(2, "web", 60), 3.5),
    (DemandLeft(2), 3.6),
    (Started("web-1", 4, {"main": "127.0.0.1:1"}, 7), 4.0),
    (Ready("web-1", 4), 5.0),
    (Measured("web-1", 50 << 20, 0.01), 6.0),
    (PinSet("db", None), 7.0),
    (Traffic({"web": Flow(0, 4), "db": Flow(0, 0)}), 17.0),
    (Measured("web-1", 50 << 20, 0.01), 17.05),
    (Drained("web-1", 6), 17.1),
    (Withdrawn("web-1", 7), 17.2),
    (Paused("web-1", 8), 17.3),
    (Tick(), 18.0),
]


def written(folder: Path, story: list[tuple[Event, float]]) -> Fleet:
    fleet = Fleet(Settings())
    journal = Journal(folder)
    journal.begin(fleet.world)
    for event, now in story:
        fleet.handle(event, now)
        journal.record(event, now, fleet.world)
    journal.close()
    return fleet


def test_replaying_the_journal_gives_the_state(tmp_path: Path) -> None:
    fleet = written(tmp_path, STORY)
    again = restore(tmp_path, Settings())
    assert dump_world(again.world) == dump_world(fleet.world)
    assert again.world.services["web"].replicas["web-1"].life == "paused"


def test_a_journal_that_begins_in_the_middle_gives_the_same_state(tmp_path: Path) -> None:
    for cut in range(len(STORY)):
        fleet = Fleet(Settings())
        for event, now in STORY[:cut]:
            fleet.handle(event, now)
        journal = Journal(tmp_path)
        journal.begin(fleet.world)
        for event, now in STORY[cut:]:
            fleet.handle(event, now)
            journal.record(event, now, fleet.world)
        journal.close()
        assert dump_world(restore(tmp_path, Settings()).world) == dump_world(fleet.world)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    written(tmp_path, STORY[:-1])
    path = tmp_path / "journal.jsonl"
    before = dump_world(restore(tmp_path, Settings()).world)
    with path.open("a") as file:
        file.write('{"at": 99, "is": "Tick", "ev')
    assert dump_world(restore(tmp_path, Settings()).world) == before


def test_an_unreadable_journal_costs_only_what_was_learned(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"state": {"nothing": "of the kind"}}\n')
    assert restore(tmp_path, Settings()).world.services == {}


def test_no_secret_reaches_the_journal(tmp_path: Path) -> None:
    written(tmp_path, [*STORY, (dataclasses.replace(STORY[0][0], found=()), 20.0)])  # type: ignore[type-var]
    assert SECRET not in (tmp_path / "journal.jsonl").read_text()


def test_a_long_journal_begins_a_new_file_and_keeps_the_one_before(tmp_path: Path) -> None:
    fleet = Fleet(Settings())
    journal = Journal(tmp_path)
    journal.begin(fleet.world)
    fleet.handle(*STORY[0])
    journal.record(*STORY[0], fleet.world)
    for number in range(25_000):
        event = Traffic({"web": Flow(0, number), "db": Flow(0, number)})
        fleet.handle(event, 20.0 + number)
        journal.record(event, 20.0 + number, fleet.world)
    journal.close()
    assert (tmp_path / "journal.1.jsonl").exists()
    assert (tmp_path / "journal.jsonl").stat().st_size < (3 << 20)
    assert dump_world(restore(tmp_path, Settings()).world) == dump_world(fleet.world)


def test_a_large_state_is_not_written_again_at_every_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a thousand services takes a tenth of a second, and each request is an event."""
    monkeypatch.setattr(journal_module, "_LONGEST", 200)
    fleet = Fleet(Settings())
    fleet.handle(*STORY[0])
    journal = Journal(tmp_path)
    journal.begin(fleet.world)
    for event, now in STORY[1:6]:
        fleet.handle(event, now)
        journal.record(event, now, fleet.world)
    journal.close()
    state, *events = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(state) > 500
    assert len(events) == 5
    assert dump_world(restore(tmp_path, Settings()).world) == dump_world(fleet.world)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files take no byte beyond it, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_journal_that_met_a_full_disk_ends_there_and_begins_anew_when_there_is_room(tmp_path: Path) -> None:
    fleet = Fleet(Settings())
    journal = Journal(tmp_path)
    journal.begin(fleet.world)
    taken_in: list[dict[str, object]] = []

    def take_in(event: Event, now: float) -> None:
        fleet.handle(event, now)
        journal.record(event, now, fleet.world)
        taken_in.append(dump_world(fleet.world))

    for event, now in STORY:
        take_in(event, now)
    with largest_file((tmp_path / "journal.jsonl").stat().st_size + 100):
        for number in range(50):
            take_in(PinSet("db", 1e6 + number), 20.0 + number / 10)
        assert dump_world(restore(tmp_path, Settings()).world) in taken_in, "a state that there was"
    take_in(PinSet("web", None), 40.0)
    take_in(Tick(), 41.0)
    journal.close()
    assert dump_world(restore(tmp_path, Settings()).world) == taken_in[-1]


def test_a_journal_for_which_there_is_no_room_keeps_the_one_before_and_hinders_nothing(tmp_path: Path) -> None:
    before = dump_world(written(tmp_path, STORY).world)
    fleet = restore(tmp_path, Settings())
    journal = Journal(tmp_path)
    with largest_file(10):
        journal.begin(fleet.world)
        for number in range(20):
            fleet.handle(Tick(), 20.0 + number)
            journal.record(Tick(), 20.0 + number, fleet.world)
        journal.close()
    assert dump_world(restore(tmp_path, Settings()).world) == before
