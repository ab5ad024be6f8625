"""What people and catalogues change under a running fleet, a new life of the scaler, and the end."""

from __future__ import annotations

import pytest

from services.scaler.core.effects import (
    Drain,
    Pause,
    Prepare,
    Publish,
    Resume,
    Start,
    Stop,
    Watch,
    Withdraw,
)
from services.scaler.core.events import (
    Adopted,
    DemandKind,
    DrainRefused,
    Flow,
    Meddled,
    Paused,
    PinSet,
    Pruned,
    PullAsked,
    RestartAsked,
    Restarted,
    ShutdownAsked,
    SleepAsked,
    Traffic,
)
from services.scaler.core.state import Life, Preparation
from tests.unit.core.scene import IDLE, STOP_AFTER, Scene, entry

ADDRESS = {"main": "127.0.0.1:20001"}


def adopted(phase: str, *, digest: str = "a 1", name: str = "a", number: int = 7) -> Adopted:
    return Adopted(f"{name}-{number}", name, ADDRESS, 4242, phase, digest)


def new_life(scene: Scene, *found: Adopted) -> None:
    scene.awaited.clear()
    scene.on(Restarted(scene.fleet.world.catalog, {}, {}, found))


# -- asked by people ---------------------------------------------------------------------------------------------------


def test_a_pull_prepares_and_starts_nothing() -> None:
    scene = Scene(entry("a"))
    scene.on(PullAsked("a"))
    scene.answer(scene.one(Prepare))
    assert scene.out == []
    assert scene.service("a").preparation is Preparation.DONE
    assert not scene.service("a").pulling


def test_a_pull_of_the_impossible_or_the_unknown_does_nothing() -> None:
    scene = Scene()
    scene.load(entry("a"), unavailable={"a": "no GPU"})
    assert scene.on(PullAsked("a")) == []
    assert scene.on(PullAsked("nobody")) == []


def test_a_demand_joins_a_pull() -> None:
    scene = Scene(entry("a"))
    scene.on(PullAsked("a"))
    demand = scene.demand("a")
    assert scene.out == []
    scene.succeed()
    assert scene.released() == [demand]


def test_what_was_pruned_is_prepared_anew() -> None:
    scene = Scene(entry("a", scaling={"stop_after": 0.0}))
    scene.up("a")
    scene.rest("a")
    scene.succeed()
    scene.on(Pruned("a"))
    scene.demand("a")
    scene.one(Prepare)


def test_a_restart_ends_an_idle_service_and_starts_it_again() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(RestartAsked("a"))
    scene.succeed()
    assert scene.replica("a").id == "a-2"
    assert scene.life("a") == [Life.READY]
    service = scene.service("a")
    assert (service.restarting, service.forced, service.waking) == (False, False, False)


def test_a_restart_wakes_what_sleeps_and_ends_what_is_frozen() -> None:
    scene = Scene(entry("asleep"), entry("frozen"))
    scene.paused("frozen")
    scene.on(RestartAsked("asleep"))
    scene.on(RestartAsked("frozen"))
    scene.one(Stop)
    scene.succeed()
    assert scene.life("asleep") == scene.life("frozen") == [Life.READY]
    assert scene.replica("frozen").id == "frozen-2"


def test_a_restart_leaves_what_is_in_use_and_what_just_starts() -> None:
    scene = Scene(entry("a"), entry("b"))
    scene.up("a")
    scene.traffic(a=1)
    scene.on(RestartAsked("a"))
    scene.demand("b")
    scene.answer(scene.one(Prepare))
    scene.on(RestartAsked("b"))
    assert scene.none(Drain, Stop)
    assert scene.said("stay") == [
        "asked to restart, but 1 requests in flight",
        "asked to restart, but it is about to be up anyway",
    ]
    scene.succeed()
    assert not scene.service("b").restarting


@pytest.mark.parametrize("how", ["a demand", "a refused drain"])
def test_a_restart_that_is_taken_back_does_not_come_later(how: str) -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(RestartAsked("a"))
    drain = scene.one(Drain)
    if how == "a demand":
        scene.demand("a")
    else:
        scene.on(DrainRefused("a-1", drain.attempt, "1 request in flight"))
    assert scene.life("a") == [Life.READY]
    assert (scene.service("a").restarting, scene.service("a").forced) == (False, False)


def test_a_restart_that_a_request_came_before_while_it_froze_does_not_come_later() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    pause = scene.one(Pause)
    scene.on(RestartAsked("a"))
    scene.on(Paused("a-1", pause.attempt, moved=True))
    assert scene.life("a") == [Life.RESUMING]
    assert (scene.service("a").restarting, scene.service("a").forced) == (False, False)


def test_a_pinned_service_may_be_restarted() -> None:
    scene = Scene(entry("a"))
    scene.on(PinSet("a", None))
    scene.succeed()
    scene.on(RestartAsked("a"))
    scene.succeed()
    assert scene.replica("a").id == "a-2"


# -- another catalogue -------------------------------------------------------------------------------------------------


def test_a_changed_entry_is_replaced_at_its_next_rest() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.load(entry("a", digest="a 2"))
    assert scene.none(Drain, Stop)
    scene.demand("a")
    assert scene.replica("a").digest == "a 1"
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    scene.answer(scene.one(Stop))
    scene.demand("a")
    scene.one(Prepare)
    scene.succeed()
    assert scene.replica("a").digest == "a 2"


def test_a_changed_entry_is_replaced_at_its_next_wake_from_pause() -> None:
    scene = Scene(entry("a"))
    scene.paused("a")
    scene.load(entry("a", digest="a 2"))
    scene.one(Stop)
    demand = scene.demand("a")
    scene.succeed()
    assert scene.released() == [demand]
    assert scene.replica("a").digest == "a 2"


def test_an_always_on_service_whose_entry_changed_is_replaced_when_idle() -> None:
    scene = Scene(entry("a", lazy=False))
    scene.succeed()
    scene.load(entry("a", lazy=False, digest="a 2"))
    scene.rest("a")
    scene.succeed()
    assert scene.replica("a").digest == "a 2"
    assert scene.life("a") == [Life.READY]


def test_a_changed_entry_is_tried_though_the_old_one_failed() -> None:
    scene = Scene(entry("a", resources=entry("x").resources))
    scene.demand("a")
    scene.fleet.world.budget["memory"] = 1
    scene.succeed()
    assert scene.service("a").retry_at > scene.now
    scene.fleet.world.budget.clear()
    scene.load(entry("a", digest="a 2"))
    demand = scene.demand("a")
    scene.succeed()
    assert scene.released() == [demand]


def test_a_removed_service_refuses_new_requests_and_goes_when_it_is_quiet() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.traffic(a=1)
    scene.load()
    demand = scene.demand("a")
    assert scene.refused() == {demand: "unavailable"}
    assert scene.none(Drain)
    scene.wait(6)
    drain = scene.one(Drain)
    scene.on(DrainRefused("a-1", drain.attempt, "1 request in flight"))
    scene.wait(3)
    scene.succeed()
    assert "a" not in scene.fleet.world.services


def test_those_who_wait_for_a_removed_service_are_told() -> None:
    scene = Scene(entry("a"))
    demand = scene.demand("a")
    scene.load()
    assert scene.refused() == {demand: "unavailable"}
    assert scene.fleet.world.services == {}


def test_a_removed_service_that_still_starts_ends_as_soon_as_it_is_up() -> None:
    scene = Scene(entry("a"))
    scene.demand("a")
    scene.answer(scene.one(Prepare))
    scene.load()
    scene.succeed()
    assert scene.fleet.world.services == {}


def test_a_pin_does_not_keep_a_removed_service() -> None:
    scene = Scene(entry("a"))
    scene.on(PinSet("a", None))
    scene.succeed()
    scene.load()
    scene.succeed()
    assert scene.fleet.world.services == {}


def test_a_service_that_returns_takes_its_replica_up_again() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.traffic(a=1)
    scene.load()
    scene.load(entry("a"))
    demand = scene.demand("a")
    assert scene.released() == [demand]


def test_a_service_that_returns_gives_no_id_a_second_time() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.load()
    scene.wait(6)
    scene.succeed()
    scene.load(entry("a"))
    scene.demand("a")
    scene.succeed()
    assert scene.replica("a").id != "a-1"


def test_a_service_that_becomes_impossible_while_queued_is_not_started() -> None:
    scene = Scene(entry("busy"), entry("a"), room=1)
    scene.up("busy")
    scene.traffic(busy=1)
    demand = scene.demand("a")
    scene.answer(scene.one(Prepare))
    scene.load(entry("busy"), entry("a"), unavailable={"a": "its program is gone"})
    assert scene.refused() == {demand: "unavailable"}
    scene.fleet.world.budget.clear()
    scene.wait(1)
    assert scene.none(Start)


# -- somebody else's hand ----------------------------------------------------------------------------------------------


def test_a_replica_that_somebody_else_froze_is_withdrawn_at_once_and_thawed_by_a_demand() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(Meddled("a-1", "paused"))
    assert scene.one(Withdraw).urgent
    assert scene.life("a") == [Life.PAUSED]
    demand = scene.demand("a")
    scene.answer(scene.one(Resume))
    assert scene.released() == [demand]


def test_what_somebody_else_froze_is_not_stopped_before_a_reading_has_shown_it_quiet() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(Meddled("a-1", "paused"))
    assert scene.wait(STOP_AFTER) == []
    scene.on(SleepAsked("a", "stopped"))
    assert scene.none(Stop)
    scene.traffic(a=0)
    assert scene.one(Stop)


def test_an_always_on_service_that_somebody_else_froze_is_thawed() -> None:
    scene = Scene(entry("a", lazy=False))
    scene.succeed()
    scene.on(Meddled("a-1", "paused"))
    scene.one(Resume)


# -- a new life of the scaler ------------------------------------------------------------------------------------------


def test_what_is_found_ready_serves_at_once_and_nothing_is_started() -> None:
    scene = Scene(entry("a"))
    new_life(scene, adopted("ready"))
    scene.one(Publish)
    assert scene.none(Start, Prepare)
    demand = scene.demand("a")
    assert scene.released() == [demand]


def test_what_is_found_starting_is_watched_and_demands_join_it() -> None:
    scene = Scene(entry("a"))
    new_life(scene, adopted("starting"))
    scene.one(Watch)
    demand = scene.demand("a")
    assert scene.none(Prepare, Start)
    scene.succeed()
    assert scene.released() == [demand]
    assert scene.service("a").start_seconds == [], "nobody knows when that start began"


def test_what_is_found_stopping_is_stopped_to_the_end() -> None:
    scene = Scene(entry("a"))
    new_life(scene, adopted("stopping"))
    scene.answer(scene.one(Stop))
    assert scene.life("a") == []


def test_what_is_found_paused_is_thawed_by_a_demand_and_stopped_in_time() -> None:
    scene = Scene(entry("a"), entry("b"))
    new_life(scene, adopted("paused"), adopted("paused", name="b", digest="b 1"))
    assert scene.none(Stop, Resume)
    demand = scene.demand("a")
    scene.answer(scene.one(Resume))
    assert scene.released() == [demand]
    scene.wait(STOP_AFTER)
    assert scene.none(Stop), "a request may be frozen with it"
    scene.traffic(b=0)
    assert scene.one(Stop).service == "b"


def test_what_is_found_paused_with_a_request_inside_is_thawed() -> None:
    scene = Scene(entry("a"))
    new_life(scene, adopted("paused"))
    scene.traffic(a=1)
    scene.one(Resume)


def test_what_is_found_with_an_old_text_serves_and_is_replaced_at_its_next_rest() -> None:
    scene = Scene(entry("a"))
    new_life(scene, adopted("ready", digest="a 0"))
    scene.one(Publish)
    scene.rest("a")
    scene.answer(scene.one(Drain))
    scene.answer(scene.one(Withdraw))
    assert scene.none(Pause)
    scene.one(Stop)


def test_what_is_found_of_a_service_that_is_gone_is_drained_and_ended() -> None:
    scene = Scene()
    new_life(scene, adopted("ready", name="gone"))
    scene.one(Publish)
    scene.succeed()
    assert scene.fleet.world.services == {}


def test_new_replicas_never_get_an_id_that_was_found() -> None:
    scene = Scene(entry("a", stateless=True, scaling={"min_replicas": 2, "max_replicas": 2}))
    new_life(scene, adopted("ready", number=41))
    scene.succeed()
    assert list(scene.service("a").replicas) == ["a-41", "a-42"]


def test_nobody_waits_any_more_in_a_new_life_and_what_was_learned_stays() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.demand("a")
    scene.wait(3)
    learned = scene.service("a").start_seconds
    scene.demand("a")
    new_life(scene)
    assert scene.fleet.world.demand_of == {}
    assert scene.life("a") == []
    assert scene.service("a").start_seconds == learned


def test_a_dependency_is_woken_for_what_is_found_awake() -> None:
    scene = Scene(entry("db"), entry("a", needs=["db"]))
    new_life(scene, adopted("ready"))
    scene.succeed()
    assert scene.life("db") == [Life.READY]


def test_a_reading_of_the_earlier_life_counts_for_nothing() -> None:
    scene = Scene(entry("a", scaling={"idle_timeout": 0.0}))
    scene.up("a")
    new_life(scene, adopted("ready"))
    assert scene.none(Drain)
    scene.now += 0.1
    scene.on(Traffic({"a": Flow(0, 0)}))
    scene.one(Drain)


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_end_tells_everybody_who_waits_stops_everything_and_starts_nothing() -> None:
    scene = Scene(entry("ready"), entry("frozen"), entry("waits"), entry("always", lazy=False))
    scene.succeed()
    scene.paused("frozen")
    scene.up("ready")
    demand = scene.demand("waits")
    scene.answer(scene.awaited["waits"])
    scene.on(ShutdownAsked())
    assert scene.refused() == {demand: "shutdown"}
    assert {one.service for one in scene.all(Stop)} == {"ready", "frozen", "waits", "always"}
    later = scene.demand("ready", kind=DemandKind.COMMAND)
    assert scene.refused() == {later: "shutdown"}
    scene.succeed()
    assert scene.fleet.world.replica_of == {}
    assert [one for one in scene.wait(10 * IDLE) if isinstance(one, Start | Prepare)] == []
