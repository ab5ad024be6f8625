"""Containers that do a task and end: what waits for that goes on, and the task is not begun again by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.catalog.model import Condition, Dependency, Service
from services.scaler.core.effects import Decided, Start
from services.scaler.core.events import End, Exited, Ready, Restarted, ShutdownAsked, Started, StartFailed
from services.scaler.core.state import Life
from tests.unit.core.scene import Scene, entry

TASK = replace(entry("task", lazy=False), ends=True, ports=())


def waiting(condition: Condition) -> Service:
    return replace(entry("web"), depends_on=(Dependency("task", condition),))


def done(scene: Scene) -> None:
    scene.on(Exited(scene.replica("task").id, "task exited with code 0", End.FINISHED))
    scene.succeed()


def test_what_waits_for_a_task_starts_when_that_is_done_and_not_before() -> None:
    scene = Scene(TASK, waiting(Condition.COMPLETED))
    scene.succeed()
    demand = scene.demand("web")
    scene.succeed()
    assert (scene.life("task"), scene.life("web")) == ([Life.READY], [])
    done(scene)
    scene.succeed()
    assert (scene.life("task"), scene.life("web")) == ([], [Life.READY])
    assert demand not in scene.refused()


@pytest.mark.parametrize("condition", [Condition.COMPLETED, Condition.STARTED])
def test_a_task_that_is_done_is_not_begun_again_by_itself_nor_for_those_that_come_after_it(
    condition: Condition,
) -> None:
    scene = Scene(TASK, waiting(condition))
    scene.succeed()
    done(scene)
    scene.wait(3600)
    scene.up("web")
    scene.wait(3600)
    assert len(scene.said("start")) == 2, scene.said("start")
    assert scene.service("task").failure == ""


def test_a_task_that_ends_before_anything_was_seen_of_it_is_done_too() -> None:
    scene = Scene(TASK)
    scene.answer(scene.awaited["task"])
    [start] = [one for one in scene.awaited.values() if isinstance(one, Start)]
    scene.on(Started(start.replica, start.attempt, {}, None))
    scene.on(Exited(start.replica, "task exited with code 0", End.FINISHED))
    del scene.awaited[start.replica]
    scene.on(Ready(start.replica, start.attempt))
    scene.succeed()
    scene.wait(600)
    assert (scene.life("task"), scene.service("task").finished) == ([], True)


def test_whoever_asks_for_a_task_has_it_done_once_more() -> None:
    scene = Scene(TASK)
    scene.succeed()
    done(scene)
    scene.demand("task")
    scene.succeed()
    assert scene.life("task") == [Life.READY]


def test_a_new_text_of_a_task_and_a_new_hub_begin_it_and_a_scaler_that_comes_back_does_not() -> None:
    scene = Scene(TASK)
    scene.succeed()
    done(scene)
    catalog = scene.fleet.world.catalog
    scene.on(Restarted(catalog, {}, {}, ()))
    scene.succeed()
    assert scene.life("task") == []
    scene.load(replace(TASK, digest="another"))
    scene.succeed()
    assert scene.life("task") == [Life.READY]
    done(scene)
    scene.on(ShutdownAsked())
    scene.on(Restarted(catalog, {}, {}, ()))
    scene.succeed()
    assert scene.life("task") == [Life.READY]


def test_one_that_fails_at_its_task_is_tried_again_and_what_waits_for_it_is_told() -> None:
    scene = Scene(TASK, waiting(Condition.COMPLETED))
    scene.succeed()
    for _ in range(6):
        scene.on(Exited(scene.replica("task").id, "task exited with code 3"))
        scene.succeed()
    demand = scene.demand("web")
    assert scene.refused()[demand] == "failed"


def failed(scene: Scene, name: str = "task") -> None:
    """Of itself, and the engine leaves it so."""
    scene.on(Exited(scene.replica(name).id, f"{name} exited with code 3", End.LEFT))
    scene.succeed()


def starts(scene: Scene, name: str) -> int:
    return sum(isinstance(one, Decided) and (one.service, one.what) == (name, "start") for one in scene.story)


def test_what_failed_and_has_no_restart_is_left_so_until_somebody_asks_for_it_and_the_reason_is_kept() -> None:
    scene = Scene(TASK)
    scene.succeed()
    failed(scene)
    scene.wait(3600)
    assert scene.life("task") == []
    assert "exited with code 3" in scene.service("task").failure
    scene.demand("task")
    scene.succeed()
    assert (scene.life("task"), scene.service("task").failure) == ([Life.READY], "")
    failed(scene)
    scene.wait(3600)
    assert scene.life("task") == []


def test_one_that_fails_before_it_was_ready_is_left_so_too() -> None:
    scene = Scene(TASK)
    scene.answer(scene.awaited["task"])
    [start] = [one for one in scene.awaited.values() if isinstance(one, Start)]
    del scene.awaited[start.replica]
    scene.on(StartFailed(start.replica, start.attempt, "task exited with code 3", End.LEFT))
    scene.succeed()
    scene.wait(3600)
    assert scene.life("task") == []
    assert "exited with code 3" in scene.service("task").failure


def test_what_waits_for_the_success_of_one_that_fails_is_told_and_each_later_demand_tries_it_once() -> None:
    scene = Scene(TASK, waiting(Condition.COMPLETED))
    scene.succeed()
    demand = scene.demand("web")
    scene.succeed()
    failed(scene)
    assert scene.refused()[demand] == "failed"
    scene.wait(60)
    for number in range(2, 4):
        assert starts(scene, "task") == number - 1
        scene.demand("web")
        scene.succeed()
        assert starts(scene, "task") == number
        failed(scene)
        scene.wait(120)


@pytest.mark.parametrize("condition", [Condition.STARTED, Condition.HEALTHY])
def test_a_demand_on_what_needs_one_that_failed_brings_it_up_at_once(condition: Condition) -> None:
    scene = Scene(TASK, waiting(condition))
    scene.succeed()
    failed(scene)
    demand = scene.demand("web")
    scene.succeed()
    assert (scene.life("task"), scene.life("web")) == ([Life.READY], [Life.READY])
    assert demand not in scene.refused()
    # What is awake goes on without it.
    failed(scene)
    scene.wait(100)
    assert (scene.life("task"), scene.life("web")) == ([], [Life.READY])


def test_a_new_text_of_one_that_failed_and_a_new_hub_begin_it_and_a_scaler_that_comes_back_does_not() -> None:
    scene = Scene(TASK)
    scene.succeed()
    failed(scene)
    catalog = scene.fleet.world.catalog
    scene.on(Restarted(catalog, {}, {}, ()))
    scene.succeed()
    assert scene.life("task") == []
    scene.load(replace(TASK, digest="another"))
    scene.succeed()
    assert scene.life("task") == [Life.READY]
    failed(scene)
    scene.on(ShutdownAsked())
    scene.on(Restarted(catalog, {}, {}, ()))
    scene.succeed()
    assert scene.life("task") == [Life.READY]


def test_one_on_demand_comes_back_whatever_is_said_of_its_end() -> None:
    scene = Scene(entry("web", scaling={"min_replicas": 1}))
    scene.succeed()
    failed(scene, "web")
    assert scene.life("web") == [Life.READY]


@pytest.mark.parametrize("end", [End.FINISHED, End.LEFT])
def test_whoever_asks_for_one_that_ends_before_it_is_ready_has_it_begun_once_and_is_told_how_it_ended(end: End) -> None:
    scene = Scene(TASK)
    scene.succeed()
    done(scene)
    before = starts(scene, "task")
    demand = scene.demand("task")
    [start] = [one for one in scene.awaited.values() if isinstance(one, Start)]
    scene.on(Started(start.replica, start.attempt, {}, None))
    scene.on(Exited(start.replica, "task ended", end))
    del scene.awaited[start.replica]
    scene.on(Ready(start.replica, start.attempt))
    assert demand in scene.refused()
    scene.succeed()
    scene.wait(600)
    assert starts(scene, "task") == before + 1
