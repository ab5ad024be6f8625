"""Somebody else's hand on a replica: what is in use is thawed again, what is idle stays frozen, what was ended comes
back when it is wanted."""

from __future__ import annotations

import pytest

from services.catalog.model import Catalog, Port, Scaling, Service
from services.scaler.core.effects import Prepare, Publish, Refuse, Release, Resume, Start, Stop, Withdraw
from services.scaler.core.events import (
    Adopted,
    Appeared,
    CatalogLoaded,
    Demand,
    End,
    Exited,
    Flow,
    Meddled,
    PrepareFailed,
    RestartAsked,
    Restarted,
    Resumed,
    ShutdownAsked,
    Stopped,
    Traffic,
    Withdrawn,
)
from services.scaler.core.fleet import Fleet
from services.scaler.core.invariants import broken
from services.scaler.core.state import Life
from tests.unit.core.scene import Scene, entry

WEB = Service("web", ports=(Port("main", 80),), scaling=Scaling(idle_timeout=60))


@pytest.mark.parametrize(("active", "thawed"), [(0, False), (1, True)])
def test_a_replica_frozen_by_hand_is_thawed_where_a_request_is_in_flight(active: int, thawed: bool) -> None:
    fleet = Fleet()
    found = Adopted("web-1", "web", {"main": "127.0.0.1:1"}, 7, "ready", WEB.digest)
    fleet.handle(Restarted(Catalog({"web": WEB}), {}, {}, (found,)), 0.0)
    fleet.handle(Traffic({"web": Flow(active, 1)}), 5.0)
    effects = fleet.handle(Meddled("web-1", "paused"), 6.0)
    assert any(isinstance(effect, Withdraw) and effect.urgent for effect in effects)
    assert any(isinstance(effect, Resume) for effect in effects) is thawed
    assert broken(fleet) == []


def test_a_request_that_reaches_a_replica_as_somebody_freezes_it_is_seen_at_the_next_reading_and_answered() -> None:
    scene = Scene(entry("web"))
    scene.up("web")
    scene.wait(1)
    scene.traffic(web=0)
    scene.on(Meddled(scene.replica("web").id, "paused"))
    assert scene.none(Resume)
    assert scene.service("web").counted
    scene.wait(1)
    scene.traffic(web=1)
    assert [one.service for one in scene.all(Resume)] == ["web"]


def test_of_a_replica_that_somebody_froze_idle_no_reading_is_taken_once_one_has_shown_it_quiet() -> None:
    scene = Scene(entry("web"))
    scene.up("web")
    scene.on(Meddled(scene.replica("web").id, "paused"))
    scene.wait(1)
    scene.traffic(web=0)
    assert (scene.life("web"), scene.service("web").counted) == ([Life.PAUSED], False)


def test_a_replica_that_somebody_started_by_hand_serves_and_is_not_started_twice() -> None:
    fleet = Fleet()
    fleet.handle(CatalogLoaded(Catalog({"web": WEB})), 0.0)
    found = Adopted("web-x1", "web", {"main": "172.18.0.2:80"}, None, "ready", WEB.digest)
    assert any(isinstance(effect, Publish) for effect in fleet.handle(Appeared(found), 1.0))
    assert fleet.handle(Appeared(found), 2.0) == []
    effects = fleet.handle(Demand(1, "web", 10.0), 3.0)
    assert [type(effect) for effect in effects if isinstance(effect, Release | Start)] == [Release]
    assert broken(fleet) == []


def test_what_somebody_started_by_hand_is_left_alone_where_the_hub_does_not_know_it() -> None:
    fleet = Fleet()
    fleet.handle(CatalogLoaded(Catalog({"web": WEB})), 0.0)
    found = Adopted("db-x1", "db", {}, None, "ready")
    assert not any(isinstance(effect, Stop | Publish) for effect in fleet.handle(Appeared(found), 1.0))


def test_a_replica_thawed_by_hand_is_looked_at_and_serves() -> None:
    fleet = Fleet()
    found = Adopted("web-1", "web", {"main": "127.0.0.1:1"}, 7, "paused", WEB.digest)
    fleet.handle(Restarted(Catalog({"web": WEB}), {}, {}, (found,)), 0.0)
    [resume] = [one for one in fleet.handle(Meddled("web-1", "running"), 5.0) if isinstance(one, Resume)]
    effects = fleet.handle(Resumed("web-1", resume.attempt), 5.1)
    assert any(isinstance(effect, Publish) for effect in effects)
    assert broken(fleet) == []


def test_what_somebody_ends_often_is_no_loop_of_crashes() -> None:
    fleet = Fleet()
    fleet.handle(CatalogLoaded(Catalog({"web": WEB})), 0.0)
    for number in range(10):
        name, now = f"web-x{number}", float(number)
        fleet.handle(Appeared(Adopted(name, "web", {"main": "172.18.0.2:80"}, None, "ready", WEB.digest)), now)
        effects = fleet.handle(Exited(name, "it was ended by SIGTERM", End.BY_HAND), now + 0.1)
        [withdraw] = [one for one in effects if isinstance(one, Withdraw)]
        effects = fleet.handle(Withdrawn(name, withdraw.attempt, moved=False), now + 0.2)
        [stop] = [one for one in effects if isinstance(one, Stop)]
        fleet.handle(Stopped(name, stop.attempt), now + 0.3)
    assert not fleet.world.services["web"].failure
    assert broken(fleet) == []


def test_a_restart_that_a_freeze_by_hand_came_before_leaves_no_order_behind() -> None:
    scene = Scene(entry("web"))
    scene.up("web")
    scene.on(RestartAsked("web"))
    scene.on(Meddled(scene.replica("web").id, "paused"))
    assert not scene.service("web").restarting
    assert not scene.service("web").forced


def test_what_was_frozen_and_thawed_by_hand_is_not_ended_with_its_request_when_it_leaves_the_catalogue() -> None:
    scene = Scene(entry("web"), entry("db"))
    scene.up("web")
    replica = scene.replica("web").id
    scene.load(entry("web", needs=["db"]), entry("db"))
    scene.traffic(web=1)
    scene.on(Meddled(replica, "paused"))
    scene.on(Meddled(replica, "running"))
    scene.load(entry("db"))
    assert scene.life("web") == [Life.RESUMING]
    assert scene.none(Stop)
    scene.succeed(only="web")
    assert scene.life("web") == [Life.READY]


def ended_by_hand(scene: Scene, name: str) -> None:
    scene.on(Exited(scene.replica(name).id, "it was ended by SIGTERM", End.BY_HAND))
    scene.succeed()


def test_what_is_always_on_is_left_as_it_is_once_somebody_has_ended_it() -> None:
    scene = Scene(entry("db", lazy=False))
    scene.succeed()
    assert scene.life("db") == [Life.READY]
    ended_by_hand(scene, "db")
    scene.wait(3600)
    scene.load(entry("db", lazy=False, digest="db 2"))
    assert scene.life("db") == []
    assert "left so until somebody asks for it" in scene.said("ended")[-1]


def test_what_was_ended_by_hand_is_started_for_whoever_asks_and_is_always_on_again() -> None:
    scene = Scene(entry("db", lazy=False))
    scene.succeed()
    ended_by_hand(scene, "db")
    demand = scene.demand("db")
    scene.succeed()
    assert scene.life("db") == [Life.READY]
    assert scene.released() == [demand]
    scene.on(Exited(scene.replica("db").id, "it crashed"))
    scene.succeed()
    assert scene.life("db") == [Life.READY]


def test_a_wake_starts_what_it_depends_on_although_that_was_ended_by_hand() -> None:
    scene = Scene(entry("db", lazy=False), entry("web", needs=["db"]))
    scene.succeed()
    ended_by_hand(scene, "db")
    scene.up("web")
    assert scene.life("db") == [Life.READY]


def test_what_was_ended_by_hand_under_a_service_that_is_awake_stays_ended_until_the_next_demand() -> None:
    scene = Scene(entry("db", lazy=False), entry("web", needs=["db"]))
    scene.succeed()
    scene.up("web")
    ended_by_hand(scene, "db")
    scene.wait(60)
    assert (scene.life("db"), scene.life("web")) == ([], [Life.READY])
    scene.demand("web")
    scene.succeed()
    assert scene.life("db") == [Life.READY]


def test_where_one_of_several_copies_was_ended_by_hand_the_others_neither_grow_nor_rest() -> None:
    scene = Scene(entry("db", lazy=False, stateless=True, scaling={"min_replicas": 2, "max_replicas": 2}))
    scene.succeed()
    scene.traffic(db=0)
    scene.succeed()
    first, second = scene.service("db").replicas
    scene.on(Exited(first, "it was ended by SIGTERM", End.BY_HAND))
    scene.succeed()
    scene.rest("db")
    scene.rest("db", after=2.0)
    assert list(scene.service("db").replicas) == [second]
    assert scene.life("db") == [Life.READY]
    scene.on(Appeared(Adopted("db-x1", "db", {"main": "172.18.0.2:80"}, None, "ready", "db 1")))
    scene.on(Exited(second, "it crashed"))
    scene.succeed()
    scene.traffic(db=0)
    scene.succeed()
    assert scene.life("db") == [Life.READY, Life.READY]


def test_what_is_for_somebody_else_to_start_is_no_failure_and_is_told_to_who_asks() -> None:
    scene = Scene(entry("db", lazy=False), entry("web", needs=["db"]))
    scene.on(PrepareFailed("db", scene.one(Prepare).attempt, "compose starts it", not_ours=True))
    scene.wait(3600)
    assert scene.none(Prepare)
    assert not scene.service("db").failure
    demand = scene.demand("web")
    scene.succeed(only="web")
    again = scene.awaited["db"]
    assert isinstance(again, Prepare)
    scene.on(PrepareFailed("db", again.attempt, "compose starts it", not_ours=True))
    assert scene.refused() == {demand: "failed"}
    assert "compose starts it" in scene.one(Refuse).reason
    scene.wait(3600)
    assert scene.none(Prepare)
    scene.on(Appeared(Adopted("db-x1", "db", {"main": "172.18.0.2:80"}, None, "ready", "db 1")))
    scene.up("web")


def test_a_scaler_that_comes_back_leaves_what_was_ended_by_hand_and_a_new_hub_starts_it() -> None:
    scene = Scene(entry("db", lazy=False))
    scene.succeed()
    ended_by_hand(scene, "db")
    again = Restarted(scene.fleet.world.catalog)
    scene.on(again)
    scene.succeed()
    assert scene.life("db") == []
    scene.on(ShutdownAsked())
    scene.on(again)
    scene.succeed()
    assert scene.life("db") == [Life.READY]
