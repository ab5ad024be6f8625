"""Containers that do a task and end: what waits for that goes on, and the task is not begun again by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.catalog.model import Condition, Dependency, Service
from services.scaler.core.effects import Start
from services.scaler.core.events import Exited, Ready, Restarted, ShutdownAsked, Started
from services.scaler.core.state import Life
from tests.unit.core.scene import Scene, entry

TASK = replace(entry("task", lazy=False), ends=True, ports=())


def waiting(condition: Condition) -> Service:
    return replace(entry("web"), depends_on=(Dependency("task", condition),))


def done(scene: Scene) -> None:
    scene.on(Exited(scene.replica("task").id, "task exited with code 0", finished=True))
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
    scene.on(Exited(start.replica, "task exited with code 0", finished=True))
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
