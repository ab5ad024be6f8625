"""How many replicas: up with the load, down when fewer would have carried it, never below what is wanted."""

from __future__ import annotations

from services.scaler.core.effects import Drain, Release, Resume, Start
from services.scaler.core.events import DrainRefused, Exited, Measured, RestartAsked
from services.scaler.core.state import Life
from tests.unit.core.scene import IDLE, STOP_AFTER, Scene, entry


def scaled(name: str = "a", **scaling: object) -> Scene:
    scene = Scene(entry(name, stateless=True, scaling={"max_replicas": 3, "scale_up_threshold": 2, **scaling}))
    scene.up(name)
    return scene


def load(scene: Scene, active: int) -> None:
    scene.now += 1
    scene.traffic(a=active)


def grown(scene: Scene, to: int) -> None:
    while len(scene.life("a")) < to:
        load(scene, 100)
        scene.succeed()


def test_more_in_flight_than_the_threshold_starts_one_more_at_a_time() -> None:
    scene = scaled()
    load(scene, 2)
    assert scene.none(Start)
    load(scene, 3)
    assert scene.one(Start).replica == "a-2"
    load(scene, 9)
    assert scene.none(Start), "one start at a time"
    scene.succeed()
    load(scene, 5)
    assert scene.one(Start).replica == "a-3"
    scene.succeed()
    load(scene, 50)
    assert scene.none(Start), "three are the most"


def test_without_a_threshold_there_is_one() -> None:
    scene = scaled(scale_up_threshold=0)
    load(scene, 50)
    assert scene.none(Start)


def test_an_old_reading_starts_nothing() -> None:
    scene = scaled()
    load(scene, 1)
    scene.wait(6)
    scene.on(Measured("a-1", 1, 0.0))
    assert scene.none(Start)


def test_a_load_that_passed_while_there_was_no_room_needs_no_more_replicas() -> None:
    scene = scaled()
    scene.fleet.world.budget["memory"] = scene.fleet.world.charged()
    load(scene, 3)
    assert "a" in scene.fleet.world.queue
    load(scene, 1)
    assert scene.fleet.world.queue == {}


def test_one_rests_when_fewer_would_have_carried_the_load_for_a_whole_idle_time() -> None:
    scene = scaled()
    grown(scene, 2)
    for _ in range(int(IDLE) - 1):
        load(scene, 2)
        assert scene.none(Drain)
    load(scene, 2)
    load(scene, 2)
    assert scene.one(Drain).replica == "a-2"


def test_a_short_peak_begins_that_time_anew() -> None:
    scene = scaled()
    grown(scene, 2)
    for _ in range(int(IDLE) - 10):
        load(scene, 1)
    load(scene, 3)
    for _ in range(int(IDLE) - 1):
        load(scene, 1)
        assert scene.none(Drain)


def test_that_time_begins_anew_with_each_second_replica() -> None:
    scene = scaled()
    grown(scene, 2)
    load(scene, 1)
    scene.on(Exited("a-2", "killed"))
    scene.succeed()
    for _ in range(int(IDLE)):
        load(scene, 1)
    grown(scene, 2)
    load(scene, 1)
    load(scene, 1)
    assert scene.none(Drain)


def test_a_frozen_replica_is_thawed_before_a_new_one_is_started() -> None:
    scene = scaled()
    grown(scene, 2)
    for _ in range(int(IDLE) + 2):
        load(scene, 1)
        scene.succeed()
    assert scene.life("a") == [Life.READY, Life.PAUSED]
    load(scene, 5)
    assert scene.none(Start)
    assert scene.one(Resume).replica == "a-2"


def test_a_busy_replica_is_not_the_one_that_rests() -> None:
    scene = scaled()
    grown(scene, 2)
    scene.on(Measured("a-2", 1, cpu=0.9))
    for _ in range(int(IDLE) + 2):
        load(scene, 1)
        if scene.all(Drain):
            break
    assert scene.one(Drain).replica == "a-1"


def test_all_of_them_rest_when_nobody_uses_the_service() -> None:
    scene = scaled()
    grown(scene, 3)
    load(scene, 0)
    scene.rest("a")
    assert len(scene.all(Drain)) == 3
    scene.succeed()
    scene.wait(STOP_AFTER)
    scene.succeed()
    assert scene.life("a") == []


def test_a_demand_recalls_one_of_them_and_the_others_go_on_to_rest() -> None:
    scene = scaled()
    grown(scene, 2)
    load(scene, 0)
    scene.rest("a")
    scene.demand("a")
    assert len(scene.all(Release)) == 1
    assert sorted(scene.life("a")) == [Life.DRAINING, Life.READY]


def test_the_minimum_is_started_without_a_request_and_stays() -> None:
    scene = Scene(entry("a", stateless=True, scaling={"min_replicas": 2, "max_replicas": 3, "scale_up_threshold": 2}))
    scene.succeed()
    assert scene.life("a") == [Life.READY, Life.READY]
    grown(scene, 3)
    load(scene, 0)
    scene.rest("a")
    scene.succeed()
    assert sorted(scene.life("a")) == [Life.PAUSED, Life.READY, Life.READY]
    scene.rest("a", after=10 * IDLE)
    assert scene.life("a").count(Life.READY) == 2


def test_the_minimum_is_restored_after_a_crash() -> None:
    scene = Scene(entry("a", stateless=True, scaling={"min_replicas": 2, "max_replicas": 2}))
    scene.succeed()
    scene.on(Exited("a-2", "killed"))
    scene.succeed()
    assert scene.life("a") == [Life.READY, Life.READY]


def test_a_catalogue_that_allows_fewer_ends_those_beyond() -> None:
    scene = scaled()
    grown(scene, 3)
    scene.load(entry("a", stateless=True, scaling={"max_replicas": 1, "scale_up_threshold": 2}))
    for _ in range(2 * int(IDLE) + 10):
        load(scene, 9)
        scene.succeed()
    assert scene.life("a").count(Life.READY) == 1


def test_a_replica_whose_drain_is_refused_is_not_asked_again_at_once() -> None:
    scene = scaled(idle_timeout=0.0)
    grown(scene, 2)
    load(scene, 1)
    drain = scene.one(Drain)
    scene.on(DrainRefused(drain.replica, drain.attempt, "1 request in flight"))
    load(scene, 1)
    assert scene.none(Drain)


def test_a_restart_of_one_replica_among_others_leaves_no_mark() -> None:
    scene = Scene(entry("a", stateless=True, scaling={"min_replicas": 2, "max_replicas": 3}))
    scene.succeed()
    scene.on(RestartAsked("a"))
    scene.demand("a")
    scene.succeed()
    assert scene.life("a").count(Life.READY) == 2
    assert (scene.service("a").restarting, scene.service("a").forced) == (False, False)
