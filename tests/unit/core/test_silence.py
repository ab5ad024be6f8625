"""`busy.websocket_idle`: a websocket that has been silent for that long does not keep a service awake."""

from __future__ import annotations

from dataclasses import replace

from services.catalog.model import Busy, Catalog, Port, Scaling, Service
from services.scaler.core.effects import Drain, Effect, Stop
from services.scaler.core.events import Adopted, Flow, Meddled, Restarted, Traffic
from services.scaler.core.fleet import Fleet
from services.scaler.core.state import Life
from tests.unit.core.scene import Scene

CHAT = Service(
    "chat", ports=(Port("main", 80),), scaling=Scaling(idle_timeout=10), busy=Busy(cpu=0.0, websocket_idle=60)
)


def fleet_of(spec: Service) -> Fleet:
    fleet = Fleet()
    found = Adopted("chat-1", "chat", {"main": "127.0.0.1:1"}, 7, "ready", spec.digest)
    fleet.handle(Restarted(Catalog({"chat": spec}), {}, {}, (found,)), 0.0)
    return fleet


def drains(fleet: Fleet, silences: list[float]) -> list[Drain]:
    """Readings of one open websocket, ten seconds apart."""
    effects: list[Effect] = []
    for number, silent in enumerate(silences, 1):
        effects += fleet.handle(Traffic({"chat": Flow(1, 1, silent)}), 10.0 * number)
    return [effect for effect in effects if isinstance(effect, Drain)]


def test_a_websocket_that_speaks_keeps_its_service_awake() -> None:
    assert drains(fleet_of(CHAT), [0.0] * 20) == []


def test_a_websocket_that_is_silent_for_less_than_the_limit_counts() -> None:
    assert drains(fleet_of(CHAT), [10.0, 20.0, 30.0, 40.0, 50.0]) == []


def test_a_websocket_that_is_silent_for_too_long_is_not_waited_for() -> None:
    (drain,) = drains(fleet_of(CHAT), [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0])
    assert drain.despite_silent


def test_without_a_limit_a_silent_websocket_counts_for_ever() -> None:
    spec = Service("chat", ports=CHAT.ports, scaling=CHAT.scaling)
    assert drains(fleet_of(spec), [10.0 * number for number in range(100)]) == []


def test_a_silent_websocket_frozen_by_hand_counts_again_when_the_entry_says_so_before_it_is_ended() -> None:
    scene = Scene(CHAT)
    scene.up("chat")
    scene.wait(1.0)
    scene.on(Traffic({"chat": Flow(1, 1, 70.0)}))
    scene.on(Meddled(scene.replica("chat").id, "paused"))
    scene.wait(1.0)
    scene.on(Traffic({"chat": Flow(1, 1, 71.0)}))
    assert scene.life("chat") == [Life.PAUSED]
    scene.load(replace(CHAT, busy=Busy(cpu=0.0), digest="another"))
    assert scene.none(Stop)
