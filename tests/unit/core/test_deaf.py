"""A program that lives but no longer listens: out of service, ended when its requests are over, started anew."""

from __future__ import annotations

from services.scaler.core.effects import Drain, Publish, Release, Start, Stop, Withdraw
from services.scaler.core.events import Deaf, Drained, DrainRefused, Measured, Stopped, Withdrawn
from services.scaler.core.state import Life
from tests.unit.core.scene import Scene, entry


def deaf(scene: Scene, name: str = "a") -> str:
    """Its listener is gone; returns the replica."""
    replica = scene.replica(name).id
    scene.on(Deaf(replica, f"{name} no longer listens on port 1"))
    return replica


def test_what_no_longer_listens_is_drained_withdrawn_and_stopped() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    deaf(scene)
    drain = scene.one(Drain)
    scene.answer(drain)
    scene.answer(scene.one(Withdraw))
    assert scene.one(Stop).reason == "a no longer listens on port 1"
    scene.answer(scene.one(Stop))
    assert scene.service("a").replicas == {}
    assert scene.none(Start)


def test_who_comes_meanwhile_waits_for_the_new_program_and_never_goes_to_the_old_one() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    old = deaf(scene)
    demand = scene.demand("a")
    assert scene.none(Publish, Release)
    assert scene.life("a") == [Life.DRAINING]
    scene.succeed()
    assert scene.life("a") == [Life.READY]
    assert old not in scene.service("a").replicas
    assert demand not in scene.fleet.world.demand_of


def test_requests_in_flight_are_waited_for_however_long_they_take() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    replica = deaf(scene)
    for _ in range(5):
        drain = scene.awaited.pop(replica)
        assert isinstance(drain, Drain)
        scene.on(DrainRefused(replica, drain.attempt, "1 request in flight"))
        assert scene.none(Publish, Drain, Stop)
        scene.wait(2.0)
        assert isinstance(scene.awaited[replica], Drain)
    scene.succeed()
    assert scene.service("a").replicas == {}


def test_a_request_that_reached_it_at_the_last_moment_is_waited_for_as_well() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    replica = deaf(scene)
    scene.on(Drained(replica, scene.one(Drain).attempt))
    scene.on(Withdrawn(replica, scene.one(Withdraw).attempt, moved=True))
    # What has no endpoint cannot be seen: it is published, and drained in the same step.
    assert [type(one) for one in scene.out if isinstance(one, Publish | Drain)] == [Publish, Drain]
    scene.succeed()
    assert scene.service("a").replicas == {}


def test_a_rest_under_way_ends_in_a_stop_instead_of_a_pause() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.rest("a")
    deaf(scene)
    scene.succeed()
    assert scene.service("a").replicas == {}


def test_what_has_to_be_up_is_started_anew_at_once() -> None:
    scene = Scene(entry("a", lazy=False))
    scene.succeed()
    old = deaf(scene)
    scene.succeed()
    assert scene.life("a") == [Life.READY]
    assert old not in scene.service("a").replicas


def test_one_that_goes_deaf_again_and_again_is_left_alone_for_a_while() -> None:
    scene = Scene(entry("a", lazy=False))
    scene.succeed()
    for _ in range(6):
        deaf(scene)
        scene.succeed()
    assert scene.service("a").replicas == {}
    assert "times within a minute" in scene.service("a").failure


def test_news_that_come_late_or_twice_change_nothing() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    replica = deaf(scene)
    scene.on(Deaf(replica, "again"))
    assert scene.out == []
    scene.on(Measured(replica, 1, 0.0))
    scene.succeed()
    scene.on(Deaf(replica, "too late"))
    assert scene.out == []
    scene.on(Stopped(replica, 1))
    assert scene.out == []


def test_what_was_frozen_before_the_news_came_stays_as_it_is() -> None:
    scene = Scene(entry("a"))
    scene.paused("a")
    scene.on(Deaf(scene.replica("a").id, "it was looked at a moment before"))
    assert scene.out == []
