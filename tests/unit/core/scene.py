"""A fleet on a clock of its own, with effects that the test answers, one by one or all with success.

Every step is checked against the invariants, so each test asserts them for free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from services.catalog.model import Catalog, Dependency, Port, Scaling, Service
from services.scaler.core import invariants
from services.scaler.core.effects import (
    Decided,
    Drain,
    Effect,
    Measure,
    Pause,
    Prepare,
    Publish,
    Refuse,
    Release,
    Resume,
    Start,
    Stop,
    Watch,
    Withdraw,
)
from services.scaler.core.events import (
    CatalogLoaded,
    Demand,
    DemandKind,
    DemandLeft,
    Drained,
    Event,
    Flow,
    Measured,
    Paused,
    Prepared,
    Ready,
    Resumed,
    Started,
    Stopped,
    Tick,
    Traffic,
    Withdrawn,
)
from services.scaler.core.fleet import Fleet
from services.scaler.core.state import MEBIBYTE, Life, Replica, ServiceState, Settings

E = TypeVar("E", bound=Effect)

IDLE = 300.0
STOP_AFTER = 900.0


def entry(name: str, *, scaling: Mapping[str, Any] | None = None, **given: Any) -> Service:
    """A catalogue entry as a test needs it; rests after 300 s, stops 900 s later."""
    if "needs" in given:
        given["depends_on"] = tuple(Dependency(other) for other in given.pop("needs"))
    return Service(
        **{
            "name": name,
            "ports": (Port("main", 8080),),
            "scaling": Scaling(**(scaling or {})),
            "digest": f"{name} 1",
            **given,
        }
    )


class Scene:
    def __init__(self, *services: Service, room: int | None = None, settings: Settings | None = None) -> None:
        """`room`: how many services of the default size fit into the memory budget."""
        self.fleet = Fleet(settings)
        self.now = 1000.0
        self.out: list[Effect] = []
        """What the last step gave out."""
        self.story: list[Decided] = []
        self.awaited: dict[str, Effect] = {}
        """Effects whose outcome is due, by replica or service."""
        self.measures = True
        """Whether what is asked to be measured is, at once, and found idle."""
        self._demands = 0
        self.load(*services)
        if room is not None:
            self.fleet.world.budget["memory"] = room * 512 * MEBIBYTE

    # -- what happens ------------------------------------------------------------------------------------------------

    def on(self, event: Event) -> list[Effect]:
        self.out = self.fleet.handle(event, self.now)
        assert invariants.broken(self.fleet) == []
        for effect in self.out:
            match effect:
                case Decided():
                    self.story.append(effect)
                case Prepare():
                    self.awaited[effect.service] = effect
                case Start() | Watch() | Drain() | Pause() | Resume() | Stop():
                    self.awaited[effect.replica] = effect
                case Withdraw():
                    if not effect.urgent:
                        self.awaited[effect.replica] = effect
                case Publish():
                    self.awaited.pop(effect.replica, None)
                case _:
                    pass
        for asked in self.all(Measure) if self.measures else ():
            self.out = [*self.out, *self.idle(asked)]
        return self.out

    def load(self, *services: Service, unavailable: Mapping[str, str] | None = None) -> list[Effect]:
        return self.on(CatalogLoaded(Catalog({one.name: one for one in services}), unavailable or {}))

    def demand(
        self, service: str, *, hold: float = 300.0, kind: DemandKind = DemandKind.REQUEST, port: str = "main"
    ) -> int:
        self._demands += 1
        self.on(Demand(self._demands, service, hold, kind, port))
        return self._demands

    def leave(self, demand: int) -> list[Effect]:
        return self.on(DemandLeft(demand))

    def traffic(self, **active: int) -> list[Effect]:
        """One reading, for these services only."""
        return self.on(Traffic({name.replace("_", "-"): Flow(count, 0) for name, count in active.items()}))

    def wait(self, seconds: float) -> list[Effect]:
        """Let time go by; timers go off when they are due. Returns all that was given out meanwhile."""
        until, out = self.now + seconds, []
        while (due := self.fleet.next_deadline()) is not None and due <= until:
            self.now = max(due, self.now)
            out += self.on(Tick())
        self.now = until
        self.out = out
        return out

    def rest(self, *names: str, after: float = IDLE) -> list[Effect]:
        """Let time go by; then a reading shows these services quiet."""
        out = self.wait(after)
        self.now += 0.001
        out += self.traffic(**dict.fromkeys((name.replace("-", "_") for name in names), 0))
        self.out = out
        return self.out

    def idle(self, asked: Measure) -> list[Effect]:
        """It is measured, and does nothing; its size stays what it was, or what was reserved for it."""
        replica = self.service(asked.service).replicas[asked.replica]
        return self.on(Measured(asked.replica, replica.memory or replica.charge * 10 // 11, 0.0))

    def succeed(self, *, only: str = "") -> None:
        """Answer what is awaited with success until nothing is; `only` for this service."""
        while True:
            key = next((k for k, e in self.awaited.items() if not only or _service(e) == only), None)
            if key is None:
                return
            self.answer(self.awaited[key])

    def answer(self, effect: Effect) -> list[Effect]:
        """The success of one effect."""
        match effect:
            case Prepare():
                del self.awaited[effect.service]
                return self.on(Prepared(effect.service, effect.attempt))
            case Start():
                del self.awaited[effect.replica]
                self.on(Started(effect.replica, effect.attempt, {"main": f"127.0.0.1:{1000 + effect.attempt}"}, 4242))
                return self.on(Ready(effect.replica, effect.attempt))
            case Watch():
                del self.awaited[effect.replica]
                return self.on(Ready(effect.replica, effect.attempt))
            case Drain() | Withdraw() | Pause() | Resume() | Stop():
                del self.awaited[effect.replica]
                outcome = {Drain: Drained, Withdraw: Withdrawn, Pause: Paused, Resume: Resumed, Stop: Stopped}
                return self.on(outcome[type(effect)](effect.replica, effect.attempt))
            case _:
                raise AssertionError(f"{effect} has no outcome")

    def up(self, *names: str) -> None:
        """Wake them by a request and see them serve; the requests are over."""
        for name in names:
            self.demand(name)
            self.succeed()
            assert self.life(name) == [Life.READY], self.story[-3:]
        self.traffic(**dict.fromkeys((name.replace("-", "_") for name in names), 0))

    def paused(self, name: str) -> None:
        self.up(name)
        self.rest(name)
        self.succeed()
        assert self.life(name) == [Life.PAUSED]

    # -- what is seen ------------------------------------------------------------------------------------------------

    def service(self, name: str) -> ServiceState:
        return self.fleet.world.services[name]

    def replica(self, name: str) -> Replica:
        """The only one it has."""
        (replica,) = self.service(name).replicas.values()
        return replica

    def life(self, name: str) -> list[Life]:
        return [replica.life for replica in self.service(name).replicas.values()]

    def all(self, kind: type[E], service: str = "") -> list[E]:
        """Effects of one kind that the last step gave out."""
        return [one for one in self.out if isinstance(one, kind) and (not service or _service(one) == service)]

    def one(self, kind: type[E], service: str = "") -> E:
        (found,) = self.all(kind, service)
        return found

    def none(self, *kinds: type[Effect]) -> bool:
        return not any(isinstance(one, kinds) for one in self.out)

    def released(self) -> list[int]:
        return [one.demand for one in self.all(Release)]

    def refused(self) -> dict[int, str]:
        return {one.demand: one.refusal.value for one in self.all(Refuse)}

    def said(self, what: str) -> list[str]:
        return [one.reason for one in self.story if one.what == what]


def _service(effect: Effect) -> str:
    return getattr(effect, "service", "")
