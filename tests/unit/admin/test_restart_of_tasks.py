"""What is told of a restart of a container that does a task and ends."""

from __future__ import annotations

from services.scaler.admin.restart import How, ended
from services.scaler.core.events import RestartAsked
from tests.unit.core.scene import Scene
from tests.unit.core.test_tasks import TASK, done


def test_a_task_that_was_done_once_more_has_not_been_ended_by_somebody() -> None:
    scene = Scene(TASK)
    scene.succeed()
    done(scene)
    scene.on(RestartAsked("task"))
    scene.succeed()
    done(scene)
    told = ended(scene.fleet.world, "task", frozenset())
    assert told is not None
    assert told.how is How.FAILED
    assert told.reason == "task does not come up again: it has done its work, and serves nobody"
