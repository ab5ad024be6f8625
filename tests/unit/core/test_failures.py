"""Failures: told at once, left alone for a while that grows, forgotten by a success. Crashes: repaired to a limit."""

from __future__ import annotations

import pytest

from services.scaler.core.effects import Prepare, Publish, Refuse, Start, Stop, Withdraw
from services.scaler.core.events import (
    Adopted,
    Appeared,
    DemandKind,
    End,
    Exited,
    Paused,
    Prepared,
    PrepareFailed,
    Progress,
    Ready,
    Resumed,
    Started,
    StartFailed,
    Stopped,
)
from services.scaler.core.state import Life
from tests.unit.core.scene import Scene, entry


def fail_start(scene: Scene, reason: str = "exit code 1", *, by_hand: bool = False) -> None:
    """The start that is awaited, after its preparation, comes to nothing."""
    prepare = scene.awaited.get("a")
    if isinstance(prepare, Prepare):
        scene.answer(prepare)
    start = next(one for one in scene.awaited.values() if isinstance(one, Start))
    del scene.awaited[start.replica]
    scene.on(StartFailed(start.replica, start.attempt, reason, End.BY_HAND if by_hand else End.CRASHED))


def crash(scene: Scene) -> None:
    """The replica that serves dies; what is left of it is cleared away."""
    replica = next(one for one in scene.service("a").replicas.values() if one.life is Life.READY)
    scene.on(Exited(replica.id, "exit code 9"))
    scene.succeed()


def test_a_start_that_fails_tells_everybody_who_waits_why() -> None:
    scene = Scene(entry("a"))
    demands = [scene.demand("a"), scene.demand("a", kind=DemandKind.PAGE)]
    fail_start(scene, "no such model")
    assert scene.refused() == dict.fromkeys(demands, "failed")
    assert {one.reason for one in scene.all(Refuse)} == {"no such model"}


def test_a_preparation_that_fails_tells_everybody_who_waits_why() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a")
    scene.on(PrepareFailed("a", scene.one(Prepare).attempt, "the disk is full"))
    assert scene.refused() == {demand: "failed"}


def test_a_start_that_somebody_else_ends_is_begun_once_more_for_those_who_wait() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a")
    fail_start(scene, "stopped", by_hand=True)
    assert scene.refused() == {}
    assert (scene.service("a").failures, scene.service("a").retry_at) == (0, 0.0)
    assert "stopped" in scene.story[-1].reason
    scene.succeed()
    assert scene.released() == [demand]


def test_a_start_that_is_ended_twice_in_one_wake_is_a_failure_with_its_back_off() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a")
    fail_start(scene, by_hand=True)
    fail_start(scene, "stopped again", by_hand=True)
    assert scene.refused() == {demand: "failed"}
    assert scene.service("a").retry_at == scene.now + 1.0
    later = scene.demand("a")
    assert scene.refused() == {later: "backoff"}
    scene.wait(1.0)
    scene.demand("a")
    fail_start(scene, by_hand=True)
    assert scene.refused() == {}


def test_a_start_of_its_own_failing_after_one_that_was_ended_is_a_failure() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a")
    fail_start(scene, by_hand=True)
    fail_start(scene, "exit code 1")
    assert scene.refused() == {demand: "failed"}


def test_each_wake_bears_one_start_that_somebody_else_ends() -> None:
    scene = Scene(entry("a"))
    for _ in range(3):
        demand = scene.demand("a")
        fail_start(scene, by_hand=True)
        scene.succeed()
        assert scene.released() == [demand]
        [replica] = scene.service("a").replicas
        scene.on(Exited(replica, "stopped", End.BY_HAND))
        scene.succeed()
    assert scene.service("a").failures == 0


def test_the_end_by_hand_of_what_has_just_become_ready_is_no_crash() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a")
    scene.answer(scene.one(Prepare))
    start = scene.one(Start)
    scene.on(Started(start.replica, start.attempt, {"main": "127.0.0.1:1"}, 1))
    scene.on(Exited(start.replica, "stopped", End.BY_HAND))
    scene.on(Ready(start.replica, start.attempt))
    scene.succeed()
    assert scene.service("a").crashes == []
    assert scene.released() == [demand]


def test_a_service_that_failed_is_left_alone_and_callers_are_told_for_how_long() -> None:
    scene = Scene(entry("a"))
    for _ in range(3):
        scene.demand("a", kind=DemandKind.COMMAND)
        fail_start(scene)
    demand = scene.demand("a")
    assert scene.refused() == {demand: "backoff"}
    assert scene.one(Refuse).retry_after == 4.0
    assert scene.none(Prepare, Start)


def test_the_time_it_is_left_alone_doubles_up_to_a_minute() -> None:
    scene = Scene(entry("a"))
    waits = []
    for _ in range(8):
        scene.demand("a", kind=DemandKind.COMMAND)
        fail_start(scene)
        waits.append(scene.service("a").retry_at - scene.now)
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


def test_files_that_somebody_has_mended_are_tried_at_once_and_no_further_than_that() -> None:
    """A compose file with a fault fails every start that needs it, though the entry was as good before and after."""
    scene = Scene(entry("a"))
    for _ in range(3):
        scene.demand("a", kind=DemandKind.COMMAND)
        fail_start(scene)
    scene.load(entry("a"))
    scene.demand("a")
    fail_start(scene)
    assert scene.service("a").retry_at - scene.now == pytest.approx(8)
    scene.load(entry("a"))
    demand = scene.demand("a")
    scene.succeed()
    assert scene.released() == [demand]


def test_a_success_lets_the_next_failure_begin_at_one_second_again() -> None:
    scene = Scene(entry("a", scaling={"stop_after": 0.0}))
    for _ in range(3):
        scene.demand("a", kind=DemandKind.COMMAND)
        fail_start(scene)
    scene.demand("a", kind=DemandKind.COMMAND)
    scene.succeed()
    scene.rest("a")
    scene.succeed()
    scene.demand("a")
    fail_start(scene)
    assert scene.service("a").retry_at - scene.now == pytest.approx(1)


def test_the_first_demand_after_that_time_tries_again() -> None:
    scene = Scene(entry("a"))
    scene.demand("a")
    fail_start(scene)
    scene.wait(1)
    demand = scene.demand("a")
    scene.one(Prepare)
    scene.succeed()
    assert scene.released() == [demand]


def test_a_command_does_not_wait_for_that_time() -> None:
    scene = Scene(entry("a"))
    scene.demand("a")
    fail_start(scene)
    command = scene.demand("a", kind=DemandKind.COMMAND)
    scene.succeed()
    assert scene.released() == [command]
    assert not scene.service("a").forced


def test_an_always_on_service_is_tried_again_by_itself() -> None:
    scene = Scene(entry("a", lazy=False))
    fail_start(scene)
    scene.wait(1)
    scene.succeed()
    assert scene.life("a") == [Life.READY]


def test_what_crashed_is_cleared_away_before_the_next_one_starts() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(Exited("a-1", "killed"))
    withdraw = scene.one(Withdraw)
    demand = scene.demand("a")
    assert scene.out == []
    scene.answer(withdraw)
    stop = scene.one(Stop)
    scene.answer(stop)
    assert scene.one(Start).replica == "a-2"
    scene.succeed()
    assert scene.released() == [demand]


def test_a_crash_of_a_lazy_service_is_repaired_by_the_next_demand() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    crash(scene)
    assert scene.life("a") == []
    scene.demand("a")
    scene.one(Start)


def test_crashes_within_a_minute_are_repaired_at_once_up_to_a_limit() -> None:
    scene = Scene(entry("a", lazy=False))
    scene.succeed()
    for _ in range(5):
        crash(scene)
        assert scene.life("a") == [Life.READY]
    crash(scene)
    assert scene.life("a") == []
    assert scene.said("failed") == ["it crashed 6 times within a minute, last: exit code 9 (next try in 1 s)"]


def test_in_a_loop_of_crashes_a_start_that_succeeds_does_not_end_the_back_off() -> None:
    scene = Scene(entry("a", lazy=False))
    scene.succeed()
    waits = []
    for _ in range(9):
        crash(scene)
        if scene.life("a") == []:
            waits.append(scene.service("a").retry_at - scene.now)
            scene.wait(waits[-1])
            scene.succeed()
    assert waits == pytest.approx([1, 2, 4, 8])


def test_crashes_that_are_long_ago_do_not_count() -> None:
    scene = Scene(entry("a", lazy=False))
    scene.succeed()
    for _ in range(20):
        scene.wait(13)
        crash(scene)
        assert scene.life("a") == [Life.READY]


def test_a_paused_replica_that_dies_is_cleared_away() -> None:
    scene = Scene(entry("a"))
    scene.paused("a")
    scene.on(Exited("a-1", "out of memory"))
    scene.succeed()
    assert scene.life("a") == []


def test_a_death_told_before_the_success_of_the_start_is_a_crash() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a")
    scene.answer(scene.one(Prepare))
    start = scene.one(Start)
    scene.on(Started("a-1", start.attempt, {"main": "127.0.0.1:20001"}))
    scene.on(Exited("a-1", "killed"))
    scene.on(Ready("a-1", start.attempt))
    assert scene.none(Publish)
    scene.awaited.pop("a-1", None)
    scene.awaited["a-1"] = scene.one(Withdraw)
    scene.succeed()
    assert scene.released() == [demand]
    assert scene.replica("a").id == "a-2"


def test_a_death_told_before_the_success_of_the_thaw_is_a_crash() -> None:
    scene = Scene(entry("a"))
    scene.paused("a")
    scene.demand("a")
    attempt = scene.replica("a").attempt
    scene.on(Exited("a-1", "killed"))
    scene.on(Resumed("a-1", attempt))
    assert scene.none(Publish)
    scene.one(Withdraw)


def test_after_a_failed_start_the_installation_is_looked_at_again() -> None:
    scene = Scene(entry("a"))
    scene.demand("a")
    fail_start(scene)
    scene.wait(1)
    scene.demand("a")
    scene.one(Prepare)


def test_outcomes_nobody_awaits_change_nothing() -> None:
    scene = Scene(entry("a"))
    scene.demand("a")
    prepare = scene.one(Prepare)
    scene.on(PrepareFailed("a", prepare.attempt, "no"))
    stale = [
        Prepared("a", prepare.attempt),
        PrepareFailed("a", prepare.attempt, "no"),
        Prepared("a", 99),
        Progress("a", "downloading"),
        Progress("nobody", "downloading"),
        Started("a-1", 1, {}),
        Ready("a-1", 1),
        StartFailed("a-1", 1, "no"),
        Paused("a-1", 1),
        Stopped("a-1", 1),
        Exited("a-1", "gone"),
    ]
    before = (scene.service("a").failures, scene.service("a").preparation)
    for event in stale:
        assert scene.on(event) == []
    assert (scene.service("a").failures, scene.service("a").preparation) == before


def test_progress_is_kept_while_the_preparation_goes_on() -> None:
    scene = Scene(entry("a"))
    scene.demand("a")
    scene.on(Progress("a", "downloading", 0.5, "torch"))
    assert scene.service("a").progress == Progress("a", "downloading", 0.5, "torch")
    scene.answer(scene.awaited["a"])
    assert scene.service("a").progress is None


def test_a_failure_is_forgotten_once_somebody_else_has_started_it() -> None:
    scene = Scene(entry("a"))
    scene.demand("a")
    fail_start(scene, "compose starts it")
    assert scene.service("a").failure
    scene.on(Appeared(Adopted("a-by-hand-1", "a", {"main": "127.0.0.1:1"}, 7, "ready")))
    assert (scene.service("a").failure, scene.service("a").retry_at) == ("", 0.0)
    demand = scene.demand("a")
    assert demand in scene.released()
