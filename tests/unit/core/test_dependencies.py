"""Services that need each other: woken in order, kept up together, told apart when one cannot start."""

from __future__ import annotations

import pytest

from services.catalog.model import Condition, Dependency, Port, Protocol
from services.scaler.core import needing
from services.scaler.core.effects import Drain, Prepare, Refuse, Resume, Start, Stop
from services.scaler.core.events import (
    BudgetSet,
    DemandKind,
    DrainRefused,
    Exited,
    PrepareFailed,
    Ready,
    Started,
    StartFailed,
)
from services.scaler.core.state import Life
from tests.unit.core.scene import IDLE, STOP_AFTER, Scene, entry

HEALTHY = Condition.HEALTHY


def failing(scene: Scene, name: str) -> None:
    """Its preparation, which is awaited, comes to nothing."""
    prepare = scene.awaited.pop(name)
    assert isinstance(prepare, Prepare)
    scene.on(PrepareFailed(name, prepare.attempt, "no network"))


def test_a_service_starts_when_what_it_depends_on_is_healthy() -> None:
    scene = Scene(entry("db"), entry("app", depends_on=(Dependency("db", HEALTHY),)))
    demand = scene.demand("app")
    scene.answer(scene.awaited["db"])
    scene.answer(scene.awaited["app"])
    start = scene.awaited["db-1"]
    assert isinstance(start, Start)
    assert "app-1" not in scene.awaited
    scene.on(Started("db-1", start.attempt, {"main": "127.0.0.1:20001"}))
    assert scene.none(Start)
    scene.on(Ready("db-1", start.attempt))
    scene.answer(scene.one(Start, "app"))
    assert scene.released() == [demand]


def test_service_started_is_enough_where_the_catalogue_says_so() -> None:
    scene = Scene(entry("db"), entry("app", depends_on=(Dependency("db", Condition.STARTED),)))
    scene.demand("app")
    scene.answer(scene.awaited["db"])
    scene.answer(scene.awaited["app"])
    start = scene.awaited["db-1"]
    assert isinstance(start, Start)
    scene.on(Started("db-1", start.attempt, {"main": "127.0.0.1:20001"}))
    scene.one(Start, "app")


def test_a_frozen_dependency_is_thawed_before_its_dependent_starts() -> None:
    scene = Scene(entry("db"), entry("app", needs=["db"]))
    scene.paused("db")
    scene.demand("app")
    assert scene.none(Start)
    scene.answer(scene.one(Prepare, "app"))
    scene.answer(scene.awaited["db-1"])
    scene.one(Start, "app")


def test_a_chain_is_woken_from_its_far_end() -> None:
    chain = [entry("s0")] + [entry(f"s{n}", needs=[f"s{n - 1}"]) for n in range(1, 6)]
    scene = Scene(*chain)
    demand = scene.demand("s5")
    scene.succeed()
    assert scene.released() == [demand]
    started = [one.service for one in scene.story if one.what == "start"]
    assert started == ["s0", "s1", "s2", "s3", "s4", "s5"]


def test_what_a_service_uses_is_woken_with_it_and_not_waited_for() -> None:
    scene = Scene(entry("llm"), entry("ui", uses=("llm",)))
    demand = scene.demand("ui")
    assert {one.service for one in scene.awaited.values() if isinstance(one, Prepare)} == {"ui", "llm"}
    scene.succeed(only="ui")
    assert scene.released() == [demand]
    scene.succeed()
    assert scene.life("llm") == [Life.READY]


def test_a_dependency_rests_after_its_dependents() -> None:
    scene = Scene(entry("db"), entry("app", needs=["db"]))
    scene.up("app")
    scene.rest("db", "app")
    assert [one.service for one in scene.all(Drain)] == ["app"]
    scene.succeed()
    assert scene.life("app") == [Life.PAUSED]
    assert scene.life("db") == [Life.PAUSED]
    assert scene.said("pause") == ["no use for 300 s", "no use for 300 s"]


def test_a_dependency_that_crashes_is_repaired_while_its_dependent_is_awake() -> None:
    scene = Scene(entry("db", ports=(Port("main", 5432, Protocol.TCP),)), entry("app", needs=["db"]))
    scene.up("app")
    scene.on(Exited("db-1", "killed"))
    scene.succeed()
    assert scene.life("db") == [Life.READY]


def test_a_dependency_that_cannot_be_repaired_is_tried_again_as_long_as_its_dependent_is_awake() -> None:
    scene = Scene(entry("db"), entry("app", needs=["db"]))
    scene.up("app")
    scene.on(Exited("db-1", "killed"))
    scene.answer(scene.awaited["db-1"])
    scene.answer(scene.awaited["db-1"])
    for _ in range(3):
        start = scene.one(Start, "db")
        scene.awaited.clear()
        scene.on(StartFailed(start.replica, start.attempt, "disk full"))
        scene.wait(120)
        scene.answer(scene.one(Prepare, "db"))
    scene.succeed()
    assert scene.life("db") == [Life.READY]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_demands_are_refused_while_a_dependency_however_far_down_is_left_alone(depth: int) -> None:
    chain = [entry("s0")] + [entry(f"s{n}", needs=[f"s{n - 1}"]) for n in range(1, depth + 1)]
    scene = Scene(*chain)
    top = f"s{depth}"
    first = scene.demand(top)
    failing(scene, "s0")
    assert scene.refused() == {first: "failed"}
    second = scene.demand(top)
    assert scene.refused() == {second: "failed"}
    scene.wait(2)
    third = scene.demand(top)
    scene.succeed()
    assert scene.released() == [third]


def test_a_demand_for_what_needs_the_impossible_is_refused_with_the_reason() -> None:
    scene = Scene()
    scene.load(entry("cuda"), entry("mid", needs=["cuda"]), entry("app", needs=["mid"]), unavailable={"cuda": "no GPU"})
    demand = scene.demand("app")
    assert scene.refused() == {demand: "unavailable"}
    assert [one.reason for one in scene.all(Refuse)] == ["it needs mid: it needs cuda: no GPU"]


def test_a_command_tries_a_failed_dependency_again_however_far_down_but_only_once() -> None:
    scene = Scene(entry("s0"), entry("s1", needs=["s0"]), entry("s2", needs=["s1"]))
    scene.demand("s2")
    failing(scene, "s0")
    command = scene.demand("s2", kind=DemandKind.COMMAND)
    scene.one(Prepare, "s0")
    failing(scene, "s0")
    assert scene.refused() == {command: "failed"}
    assert scene.none(Prepare)


def test_an_always_on_service_is_tried_again_when_its_dependency_may_be() -> None:
    scene = Scene(entry("db"), entry("app", lazy=False, needs=["db"]))
    failing(scene, "db")
    scene.wait(2)
    scene.succeed()
    assert scene.life("app") == [Life.READY]


def test_an_always_on_service_above_an_impossible_one_neither_starts_nor_spins() -> None:
    scene = Scene()
    scene.load(
        entry("cuda"),
        entry("mid", lazy=False, needs=["cuda"]),
        entry("app", lazy=False, needs=["mid"]),
        unavailable={"cuda": "no GPU"},
    )
    assert scene.out == []
    assert scene.wait(600) == []


def test_what_is_not_required_is_not_waited_for_when_it_cannot_be_had() -> None:
    optional = (Dependency("cache", HEALTHY, required=False),)
    scene = Scene()
    scene.load(entry("cache"), entry("app", depends_on=optional), unavailable={"cache": "no such package"})
    scene.demand("app")
    scene.succeed()
    assert scene.life("app") == [Life.READY]


def test_what_is_not_required_and_blocked_itself_is_not_waited_for() -> None:
    optional = (Dependency("cache", HEALTHY, required=False),)
    scene = Scene()
    scene.load(
        entry("cuda"), entry("cache", needs=["cuda"]), entry("app", depends_on=optional), unavailable={"cuda": "no GPU"}
    )
    demand = scene.demand("app")
    scene.succeed()
    assert scene.released() == [demand]


def test_what_is_not_required_and_has_no_room_is_not_waited_for() -> None:
    scene = Scene(
        entry("busy"), entry("cache"), entry("app", depends_on=(Dependency("cache", HEALTHY, required=False),)), room=2
    )
    scene.up("busy")
    scene.traffic(busy=1)
    demand = scene.demand("app")
    scene.answer(scene.awaited["cache"])
    start = scene.awaited.pop("cache-1")
    assert isinstance(start, Start)
    scene.fleet.world.budget["memory"] //= 2
    scene.on(StartFailed("cache-1", start.attempt, "no"))
    scene.fleet.world.budget["memory"] *= 2
    scene.succeed()
    assert scene.released() == [demand]


def test_a_dependency_somebody_waits_for_is_neither_put_to_rest_nor_made_room_of() -> None:
    scene = Scene(entry("db"), entry("app", needs=["db"]), entry("other"), room=1)
    scene.up("db")
    scene.demand("app")
    scene.succeed()
    scene.demand("other")
    scene.succeed()
    scene.rest("db", after=10)
    assert scene.life("db") == [Life.READY]
    assert "other-1" not in scene.awaited


def test_a_queued_service_whose_dependency_crashes_waits_for_its_return() -> None:
    scene = Scene(entry("busy"), entry("db"), entry("app", needs=["db"]), room=2)
    scene.up("busy", "db")
    scene.traffic(busy=1)
    scene.demand("app")
    scene.succeed()
    assert scene.service("app").queued_at is not None
    scene.on(Exited("db-1", "killed"))
    assert scene.service("app").queued_at is None
    scene.succeed(only="db")
    assert scene.life("app") == []
    assert scene.life("db") == [Life.READY]


def test_services_that_use_each_other_go_to_rest_all_the_same() -> None:
    scene = Scene(entry("a", uses=("b",)), entry("b", uses=("a",)))
    scene.up("a", "b")
    for _ in range(4):
        scene.rest("a", "b")
        scene.succeed()
    scene.wait(2 * STOP_AFTER)
    scene.succeed()
    assert scene.life("a") == scene.life("b") == []


def test_a_circle_of_dependencies_can_be_woken() -> None:
    scene = Scene(entry("a", needs=["c"]), entry("b", needs=["a"]), entry("c", needs=["b"]), entry("d", needs=["d"]))
    demands = [scene.demand(name) for name in ("a", "b", "c", "d")]
    released = []
    while scene.awaited:
        scene.answer(next(iter(scene.awaited.values())))
        released += scene.released()
    assert sorted(released) == demands


def test_a_very_long_chain_is_no_trouble() -> None:
    chain = [entry("s0")] + [entry(f"s{n}", needs=[f"s{n - 1}"]) for n in range(1, 300)]
    scene = Scene(*chain)
    scene.demand("s299")
    failing(scene, "s0")
    assert scene.refused() == {1: "failed"}


def test_a_retired_service_with_requests_keeps_what_it_needs_awake() -> None:
    scene = Scene(entry("db"), entry("app", needs=["db"]))
    scene.up("app")
    scene.traffic(app=1, db=0)
    scene.load(entry("db"))
    assert scene.service("db").dependents == ("app",)
    for _ in range(5):
        scene.wait(IDLE)
        for drain in scene.all(Drain, "app"):
            scene.on(DrainRefused("app-1", drain.attempt, "requests are in flight"))
        scene.now += 0.01
        scene.traffic(db=0)
        assert scene.life("db") == [Life.READY]
    scene.wait(10)
    scene.succeed()
    assert "app" not in scene.fleet.world.services
    assert scene.service("db").dependents == ()


def test_a_rest_of_the_dependency_is_taken_back_by_a_demand_for_the_dependent() -> None:
    scene = Scene(entry("db"), entry("app", needs=["db"]))
    scene.up("db")
    scene.rest("db")
    assert scene.life("db") == [Life.DRAINING]
    scene.demand("app")
    assert scene.life("db") == [Life.READY]
    scene.succeed()
    assert scene.life("app") == [Life.READY]


def test_an_impatient_caller_leaves_no_dependency_queued_for_ever() -> None:
    scene = Scene(entry("busy"), entry("db"), entry("app", needs=["db"]), room=1)
    scene.up("busy")
    scene.traffic(busy=1)
    scene.leave(scene.demand("app"))
    scene.succeed()
    scene.wait(needing.PATIENCE + 1)
    assert scene.fleet.world.queue == {}
    assert not scene.service("app").waking
    assert not scene.service("db").waking


def test_a_paused_dependent_thaws_after_what_it_needs() -> None:
    scene = Scene(entry("db", scaling={"stop_after": 0.0}), entry("app", needs=["db"]))
    scene.up("app")
    for _ in range(3):
        scene.rest("db", "app")
        scene.succeed()
    assert (scene.life("app"), scene.life("db")) == ([Life.PAUSED], [])
    scene.demand("app")
    assert scene.none(Resume, Stop)
    scene.answer(scene.one(Start, "db"))
    scene.answer(scene.awaited["app-1"])
    assert len(scene.released()) == 1


def test_what_a_service_uses_and_failed_meanwhile_is_tried_again_when_it_starts() -> None:
    scene = Scene(entry("busy"), entry("llm"), entry("ui", uses=("llm",)), room=1)
    scene.up("busy")
    scene.traffic(busy=1)
    scene.demand("ui")
    scene.answer(scene.awaited["ui"])
    failing(scene, "llm")
    scene.wait(2)
    scene.on(BudgetSet({}))
    scene.one(Start, "ui")
    scene.one(Prepare, "llm")
