"""The decision tree of a wake: one start for all who ask, each phase joined, each rest taken back in time."""

from __future__ import annotations

import pytest

from services.catalog.model import Port
from services.scaler.core.effects import (
    Drain,
    Pause,
    Prepare,
    Publish,
    Release,
    Resume,
    Start,
    Stop,
    Withdraw,
)
from services.scaler.core.events import (
    DemandKind,
    Drained,
    Paused,
    PauseFailed,
    Prepared,
    Ready,
    ResumeFailed,
    Started,
    Withdrawn,
)
from services.scaler.core.state import Life
from tests.unit.core.scene import IDLE, STOP_AFTER, Scene, entry


def test_a_demand_prepares_then_starts_then_is_let_go_on() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a")
    prepare = scene.one(Prepare)
    scene.on(Prepared("a", prepare.attempt))
    start = scene.one(Start)
    assert start.replica == "a-1"
    scene.on(Started("a-1", start.attempt, {"main": "127.0.0.1:20001"}))
    assert scene.out == []
    scene.on(Ready("a-1", start.attempt))
    assert scene.one(Publish).endpoints == {"main": "127.0.0.1:20001"}
    assert scene.one(Release) == Release(demand, "a-1", "127.0.0.1:20001")


def test_two_hundred_demands_make_one_start_and_all_are_let_go_on() -> None:
    scene = Scene(entry("a"))
    demands = [scene.demand("a") for _ in range(200)]
    starts = [one for one in scene.awaited.values() if isinstance(one, Prepare | Start)]
    assert len(starts) == 1
    scene.succeed()
    assert scene.released() == demands
    assert scene.said("start") == ["200 waiting, 512 MiB reserved"]


def test_what_is_prepared_once_is_not_prepared_again() -> None:
    scene = Scene(entry("a", scaling={"stop_after": 0.0}))
    scene.up("a")
    scene.rest("a")
    scene.succeed()
    assert scene.life("a") == []
    scene.demand("a")
    assert scene.none(Prepare)
    assert scene.one(Start).replica == "a-2"


@pytest.mark.parametrize("phase", ["prepare", "start", "started"])
def test_a_demand_joins_a_wake_in_any_phase(phase: str) -> None:
    scene = Scene(entry("a"))
    scene.demand("a")
    if phase != "prepare":
        scene.answer(scene.one(Prepare))
        start = scene.one(Start)
        if phase == "started":
            scene.on(Started("a-1", start.attempt, {"main": "127.0.0.1:20001"}))
    scene.demand("a")
    assert scene.out == []
    scene.succeed()
    assert scene.released() == [1, 2]


def test_a_ready_service_lets_a_demand_go_on_at_once() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    demand = scene.demand("a")
    assert scene.released() == [demand]


def test_a_wake_goes_on_when_its_caller_has_left() -> None:
    scene = Scene(entry("a"))
    scene.leave(scene.demand("a"))
    scene.succeed()
    assert scene.life("a") == [Life.READY]
    assert scene.released() == []


def test_the_hold_limit_refuses_and_the_wake_goes_on() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a", hold=5.0)
    scene.wait(4.9)
    assert scene.refused() == {}
    scene.wait(0.2)
    assert scene.refused() == {demand: "waiting"}
    scene.succeed()
    assert scene.life("a") == [Life.READY]


def test_a_demand_with_no_time_left_is_still_served_by_what_serves() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    demand = scene.demand("a", hold=0.0)
    assert scene.released() == [demand]


def test_a_page_is_told_to_wait_after_its_short_hold_whatever_the_reason() -> None:
    scene = Scene(entry("busy"), entry("a"), room=1)
    scene.up("busy")
    scene.traffic(busy=1)
    page = scene.demand("a", hold=1.0, kind=DemandKind.PAGE)
    request = scene.demand("a", hold=1.0)
    scene.succeed()
    scene.wait(1.0)
    assert scene.refused() == {page: "waiting", request: "no-room"}


def test_a_demand_during_the_drain_takes_it_back_at_once() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    drain = scene.one(Drain)
    demand = scene.demand("a")
    assert scene.released() == [demand]
    assert scene.one(Publish).replica == "a-1"
    scene.on(Drained("a-1", drain.attempt))
    assert scene.out == []


def test_a_demand_during_the_withdrawal_takes_it_back_at_once() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    withdraw = scene.one(Withdraw)
    demand = scene.demand("a")
    assert scene.released() == [demand]
    scene.on(Withdrawn("a-1", withdraw.attempt))
    assert scene.out == []
    assert scene.life("a") == [Life.READY]


def test_a_demand_during_the_freeze_waits_for_it_and_thaws() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    pause = scene.one(Pause)
    demand = scene.demand("a")
    assert scene.out == []
    scene.on(Paused("a-1", pause.attempt))
    scene.answer(scene.one(Resume))
    assert scene.released() == [demand]


def test_a_demand_during_a_freeze_that_fails_is_served_by_the_replica() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    pause = scene.one(Pause)
    demand = scene.demand("a")
    scene.on(PauseFailed("a-1", pause.attempt, "forks all the time"))
    assert scene.released() == [demand]
    assert scene.replica("a").not_pausable == "forks all the time"


def test_a_paused_service_is_thawed_and_not_started() -> None:
    scene = Scene(entry("a"))
    scene.paused("a")
    demand = scene.demand("a")
    assert scene.none(Prepare, Start)
    scene.answer(scene.one(Resume))
    assert scene.released() == [demand]
    assert scene.life("a") == [Life.READY]


def test_a_thaw_that_fails_ends_the_replica_and_a_new_one_starts() -> None:
    scene = Scene(entry("a"))
    scene.paused("a")
    demand = scene.demand("a")
    resume = scene.one(Resume)
    scene.on(ResumeFailed("a-1", resume.attempt, "it died"))
    scene.answer(scene.one(Stop))
    assert scene.one(Start).replica == "a-2"
    scene.succeed()
    assert scene.released() == [demand]


def test_a_demand_during_the_stop_starts_a_new_one_only_when_the_old_is_gone() -> None:
    scene = Scene(entry("a"))
    scene.paused("a")
    scene.wait(STOP_AFTER)
    stop = scene.one(Stop)
    demand = scene.demand("a")
    assert scene.none(Start)
    scene.answer(stop)
    assert scene.one(Start).replica == "a-2"
    scene.succeed()
    assert scene.released() == [demand]


def test_held_demands_are_spread_over_the_replicas_that_serve() -> None:
    scene = Scene(entry("a", scaling={"min_replicas": 2, "max_replicas": 2}, stateless=True))
    scene.succeed()
    assert scene.life("a") == [Life.READY, Life.READY]
    went_to = []
    for _ in range(4):
        scene.demand("a")
        went_to.append(scene.one(Release).replica)
    assert sorted(went_to) == ["a-1", "a-1", "a-2", "a-2"]


def test_a_demand_for_a_port_the_service_has_not_is_refused() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    demand = scene.demand("a", port="grpc")
    assert scene.refused() == {demand: "unavailable"}


def test_a_command_wakes_a_service_without_a_port() -> None:
    scene = Scene(entry("worker", ports=()))
    demand = scene.demand("worker", kind=DemandKind.COMMAND, port="none")
    scene.succeed()
    assert scene.released() == [demand]


def test_a_demand_for_the_unknown_or_the_impossible_is_refused_at_once() -> None:
    scene = Scene()
    scene.load(entry("gpu"), unavailable={"gpu": "no GPU here"})
    assert [scene.demand("nobody"), scene.demand("gpu")]
    assert scene.refused() == {2: "unavailable"}
    assert scene.none(Prepare, Start)


def test_a_wake_leaves_no_mark_behind() -> None:
    scene = Scene(entry("a", ports=(Port("main", 1), Port("admin", 2))))
    scene.demand("a", kind=DemandKind.COMMAND)
    scene.succeed()
    service = scene.service("a")
    assert (service.waking, service.forced, service.queued_at) == (False, False, None)
    scene.rest("a", after=IDLE)
    assert scene.one(Drain).replica == "a-1"
