"""What counts as use, and the way out of service: drain, withdrawal, freeze, each of which can be taken back."""

from __future__ import annotations

import pytest

from services.catalog.model import Busy, Rest
from services.scaler.core.effects import Drain, Pause, Publish, Resume, Stop, Withdraw
from services.scaler.core.events import (
    Drained,
    DrainRefused,
    Flow,
    Measured,
    Paused,
    PauseFailed,
    PinSet,
    SleepAsked,
    Traffic,
    Unpinned,
    Withdrawn,
)
from services.scaler.core.state import Life
from tests.unit.core.scene import IDLE, STOP_AFTER, Scene, entry


def test_a_drain_that_a_monitors_request_hinders_is_tried_again_soon_and_counts_as_no_use() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.on(DrainRefused("a-1", scene.one(Drain).attempt, "1 request in flight"))
    assert scene.life("a") == [Life.READY]
    assert not [one for one in scene.wait(IDLE / 10 - 1) if isinstance(one, Drain)]
    scene.traffic(a=0)
    scene.rest("a", after=1.0)
    assert scene.life("a") == [Life.DRAINING]


def test_an_idle_service_is_drained_withdrawn_frozen_and_stopped_in_this_order() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    scene.answer(scene.one(Pause))
    assert scene.life("a") == [Life.PAUSED]
    scene.wait(STOP_AFTER - 1)
    assert scene.none(Stop)
    scene.wait(1)
    scene.answer(scene.one(Stop))
    assert scene.life("a") == []


def test_a_service_that_rests_stopped_is_never_frozen() -> None:
    scene = Scene(entry("a", scaling={"rest": Rest.STOPPED}))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    assert scene.none(Pause)
    scene.one(Stop)


def test_nothing_rests_before_its_idle_time() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a", after=IDLE - 1)
    assert scene.none(Drain)


def test_without_a_reading_nothing_rests() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    assert [one for one in scene.wait(10 * IDLE) if isinstance(one, Drain)] == []
    scene.traffic(a=0)
    scene.one(Drain)


def test_an_old_reading_is_none() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.wait(IDLE - 6)
    scene.traffic(a=0)
    assert [one for one in scene.wait(20) if isinstance(one, Drain)] == []


def test_a_reading_of_others_says_nothing_about_a_service() -> None:
    scene = Scene(entry("a"), entry("b"))
    scene.up("a")
    scene.rest("b")
    assert scene.none(Drain)


def test_a_reading_older_than_the_last_release_does_not_show_quiet() -> None:
    scene = Scene(entry("a", scaling={"idle_timeout": 0.0}))
    scene.paused("a")
    scene.traffic(a=0)
    scene.demand("a")
    scene.answer(scene.one(Resume))
    assert scene.none(Drain)
    scene.now += 0.1
    scene.traffic(a=0)
    scene.one(Drain)


@pytest.mark.parametrize("flow", [Flow(1, 1), Flow(0, 1)])
def test_requests_in_flight_and_requests_that_came_and_went_are_use(flow: Flow) -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.wait(IDLE - 1)
    scene.on(Traffic({"a": flow}))
    scene.rest("a", after=2)
    assert scene.none(Drain)
    scene.on(Traffic({"a": Flow(0, 1)}))
    scene.wait(IDLE)
    scene.on(Traffic({"a": Flow(0, 1)}))
    scene.one(Drain)


def test_a_silent_websocket_counts_until_the_service_says_it_does_not() -> None:
    scene = Scene(entry("a"), entry("b", busy=Busy(websocket_idle=60.0)))
    scene.up("a", "b")
    scene.wait(IDLE)
    scene.on(Traffic({"a": Flow(1, 0, silent=1000.0), "b": Flow(1, 0, silent=1000.0)}))
    assert [one.service for one in scene.all(Drain)] == ["b"]


def test_a_busy_cpu_keeps_a_service_awake() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.wait(IDLE)
    scene.on(Measured("a-1", 1, cpu=0.5))
    scene.rest("a")
    assert scene.none(Drain), "its last measurement still says that it works"
    scene.on(Measured("a-1", 1, cpu=0.01))
    scene.one(Drain)


def test_cpu_does_not_count_where_the_catalogue_says_so() -> None:
    scene = Scene(entry("a", busy=Busy(cpu=0.0)))
    scene.up("a")
    scene.wait(IDLE)
    scene.on(Measured("a-1", 1, cpu=0.9))
    scene.traffic(a=0)
    scene.one(Drain)


def test_a_busy_probe_keeps_a_service_awake() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(Measured("a-1", 1, cpu=0.0, busy=True))
    scene.rest("a")
    assert scene.none(Drain)


def test_a_pin_keeps_a_service_awake_until_it_ends_and_then_its_idle_time_begins() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(PinSet("a", scene.now + 1000))
    scene.rest("a", after=1000)
    assert scene.none(Drain)
    scene.rest("a", after=IDLE - 1)
    assert scene.none(Drain)
    scene.rest("a", after=2)
    scene.one(Drain)


def test_a_pin_that_has_ended_leaves_no_timer_that_goes_off_for_ever() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(PinSet("a", scene.now + 10))
    scene.wait(20)
    scene.traffic(a=3)
    due = scene.fleet.next_deadline()
    assert due is None or due > scene.now


def test_a_pin_wakes_and_unpinning_gives_the_idle_time_back() -> None:
    scene = Scene(entry("a"))
    scene.on(PinSet("a", None))
    scene.succeed()
    assert scene.life("a") == [Life.READY]
    scene.rest("a", after=10 * IDLE)
    assert scene.none(Drain)
    scene.on(Unpinned("a"))
    scene.rest("a", after=IDLE - 1)
    assert scene.none(Drain)
    scene.rest("a", after=1)
    scene.one(Drain)


def test_a_refused_drain_publishes_again_and_is_tried_again() -> None:
    scene = Scene(entry("a", scaling={"idle_timeout": 1.0}))
    scene.up("a")
    scene.rest("a", after=1)
    drain = scene.one(Drain)
    scene.on(DrainRefused("a-1", drain.attempt, "1 request in flight"))
    scene.one(Publish)
    scene.rest("a", after=1)
    assert scene.none(Drain)
    scene.rest("a", after=1)
    scene.one(Drain)


def test_a_request_during_the_withdrawal_publishes_again() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.on(Withdrawn("a-1", scene.one(Withdraw).attempt, moved=True))
    scene.one(Publish)
    assert scene.none(Pause)


def test_a_request_before_the_freeze_thaws_and_publishes_again() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    scene.on(Paused("a-1", scene.one(Pause).attempt, moved=True))
    scene.answer(scene.one(Resume))
    scene.one(Publish)


def test_what_cannot_be_frozen_is_stopped_this_time_and_from_then_on() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    scene.on(PauseFailed("a-1", scene.one(Pause).attempt, "it forks away"))
    assert scene.one(Stop).reason == "it cannot be paused: it forks away"


def test_outcomes_of_a_rest_that_was_taken_back_change_nothing() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    drain = scene.one(Drain)
    scene.demand("a")
    for late in (Drained("a-1", drain.attempt), Withdrawn("a-1", drain.attempt), Paused("a-1", drain.attempt)):
        assert scene.on(late) == []
    assert scene.life("a") == [Life.READY]


def test_sleep_rests_an_idle_service_at_once() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(SleepAsked("a"))
    scene.succeed()
    assert scene.life("a") == [Life.PAUSED]
    scene.on(SleepAsked("a", "stopped"))
    scene.succeed()
    assert scene.life("a") == []


def test_sleep_says_why_a_service_in_use_stays() -> None:
    scene = Scene(entry("db"), entry("a", needs=["db"]), entry("pinned"), entry("always", lazy=False))
    scene.up("a", "pinned")
    scene.on(PinSet("pinned", None))
    scene.traffic(a=2)
    for name in ("a", "db", "pinned", "always"):
        scene.on(SleepAsked(name))
        assert scene.none(Drain, Stop)
    assert scene.said("stay") == [
        "asked to sleep, but 2 requests in flight",
        "asked to sleep, but a is awake and needs it",
        "asked to sleep, but pinned",
        "asked to sleep, but it is always on",
    ]


def test_sleep_to_stopped_turns_a_freeze_under_way_into_a_stop() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    pause = scene.one(Pause)
    scene.on(SleepAsked("a", "stopped"))
    scene.answer(pause)
    scene.one(Stop)


def test_a_demand_turns_that_stop_back_into_a_thaw() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    pause = scene.one(Pause)
    scene.on(SleepAsked("a", "stopped"))
    scene.demand("a")
    scene.answer(pause)
    assert scene.none(Stop)
    scene.one(Resume)


def test_silence_that_was_read_long_ago_is_not_overlooked_by_a_drain() -> None:
    scene = Scene(entry("a", busy=Busy(websocket_idle=60.0)))
    scene.up("a")
    scene.on(Traffic({"a": Flow(1, 0, silent=100.0)}))
    scene.wait(10)
    scene.on(SleepAsked("a"))
    assert not scene.one(Drain).despite_silent
