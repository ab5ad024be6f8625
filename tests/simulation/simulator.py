"""Drives the fleet through a load on a virtual clock and says what its policy cost. No second copy of any policy.

Nothing fails here: what is measured is deciding. The laws are asserted on the way all the same.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

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
    BudgetSet,
    CatalogLoaded,
    Demand,
    Drained,
    DrainRefused,
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
from services.scaler.core.state import Life, Settings
from tests.simulation.load import Arrival, Load

DRAIN, WITHDRAW, PAUSE, RESUME, STOP = 0.03, 0.002, 0.003, 0.010, 0.5
"""Seconds that these verbs take on a machine of today."""

GIBIBYTE_HOUR = float(1 << 30) * 3600.0

_Verb = Drain | Withdraw | Pause | Resume | Stop


@dataclass(slots=True)
class Report:
    requests: int = 0
    warm: int = 0
    thawed: int = 0
    cold: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Of every request that was served, seconds; 0 for the warm."""
    starts: int = 0
    most_starts_at_once: int = 0
    awake_gib_hours: float = 0.0
    paused_gib_hours: float = 0.0
    steps: int = 0

    @property
    def cold_share(self) -> float:
        return self.cold / max(1, self.requests)

    def wait(self, share: float) -> float:
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def __str__(self) -> str:
        return (
            f"{self.requests} requests: {self.warm} warm, {self.thawed} thawed, {self.cold} cold "
            f"({self.cold_share:.1%}), refused {dict(self.refused)}; wait p50 {self.wait(0.5):.2f} s, "
            f"p95 {self.wait(0.95):.1f} s, p99 {self.wait(0.99):.1f} s; {self.starts} starts; "
            f"{self.awake_gib_hours:.0f} GiB·h awake, {self.paused_gib_hours:.0f} GiB·h paused"
        )


class Simulator:
    """One run. `reading`: seconds between two traffic readings."""

    def __init__(
        self, load: Load, *, budget: int | None = None, hold: float = 300.0, settings: Settings | None = None,
        reading: float = 4.0,
    ) -> None:  # fmt: skip
        self.load, self.hold, self.reading = load, hold, reading
        self.budget = budget
        self.fleet = Fleet(settings)
        self.report = Report()
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._attempts: dict[str, int] = {}
        self._serving: dict[str, str] = {}
        """Service → the replica that gateways send its requests to."""
        self._in_flight: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self._held: dict[int, tuple[Arrival, bool]] = {}
        self._demands = 0
        self._reads = False

    def run(self) -> Report:
        self._tell(CatalogLoaded(self.load.catalog))
        if self.budget is not None:
            self._tell(BudgetSet({"memory": self.budget}))
        for arrival in self.load.arrivals:
            self._until(arrival.at)
            self._arrive(arrival)
        self._until(self.now + 10_000.0)
        assert not self._held, f"{len(self._held)} requests wait for ever"
        assert not self.fleet.world.replica_of, "something is still awake long after the last request"
        return self.report

    # -- time --------------------------------------------------------------------------------------------------------

    def _until(self, time: float) -> None:
        while True:
            due = self.fleet.next_deadline()
            due = float("inf") if due is None else due
            planned = self._agenda[0][0] if self._agenda else float("inf")
            if min(due, planned) > time:
                break
            self._pass(max(self.now, min(due, planned)))
            if planned <= due:
                heapq.heappop(self._agenda)[2]()
            else:
                self._tell(Tick())
        self._pass(time)

    def _pass(self, time: float) -> None:
        """Bytes are taken while time goes by."""
        for replica_id, name in self.fleet.world.replica_of.items():
            replica = self.fleet.world.services[name].replicas[replica_id]
            taken = replica.charge * (time - self.now) / GIBIBYTE_HOUR
            if replica.life is Life.PAUSED:
                self.report.paused_gib_hours += taken
            else:
                self.report.awake_gib_hours += taken
        self.now = time

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._agenda, (self.now + seconds, self._order, what))

    # -- requests ----------------------------------------------------------------------------------------------------

    def _arrive(self, arrival: Arrival) -> None:
        self.report.requests += 1
        if arrival.service in self._serving:
            self.report.warm += 1
            self._serve(arrival, 0.0)
            return
        self._demands += 1
        frozen = bool(self.fleet.world.services[arrival.service].in_life(Life.PAUSED, Life.PAUSING, Life.RESUMING))
        self._held[self._demands] = (arrival, frozen)
        self._tell(Demand(self._demands, arrival.service, self.hold))

    def _serve(self, arrival: Arrival, waited: float) -> None:
        self.report.waits.append(waited)
        self._in_flight[arrival.service] += 1
        self._total[arrival.service] += 1
        self._later(arrival.duration, lambda: self._in_flight.subtract([arrival.service]))

    def _read(self) -> None:
        running = set(self.fleet.world.replica_of.values())
        self._reads = bool(running)
        if running:
            self._tell(Traffic({name: Flow(self._in_flight[name], self._total[name]) for name in running}))
            self._later(self.reading, self._read)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        effects = self.fleet.handle(event, self.now)
        self.report.steps += 1
        if self.report.steps % 50 == 0:
            assert invariants.broken(self.fleet) == []
        for effect in effects:
            self._perform(effect)
        if self.fleet.world.replica_of and not self._reads:
            self._reads = True
            self._later(self.reading, self._read)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Prepare():
                self._later(0.0, lambda: self._tell(Prepared(effect.service, effect.attempt)))
            case Start():
                self._start(effect)
            case Publish():
                self._attempts.pop(effect.replica, None)
                self._serving[effect.service] = effect.replica
            case Drain():
                self._serving.pop(effect.service, None)
                self._answer(DRAIN, effect, lambda: self._drained(effect))
            case Withdraw():
                self._answer(WITHDRAW, effect, lambda: Withdrawn(effect.replica, effect.attempt))
            case Pause():
                self._answer(PAUSE, effect, lambda: Paused(effect.replica, effect.attempt))
            case Resume():
                self._answer(RESUME, effect, lambda: Resumed(effect.replica, effect.attempt))
            case Stop():
                assert not self._in_flight[effect.service], f"{effect} with requests in flight"
                self._answer(STOP, effect, lambda: Stopped(effect.replica, effect.attempt))
            case Release():
                self._released(effect)
            case Refuse():
                del self._held[effect.demand]
                self.report.refused[effect.refusal.value] += 1
            case Measure():
                replica = self.fleet.world.services[effect.service].replicas[effect.replica]
                size = replica.memory or replica.charge * 10 // 11
                self._later(0.0, lambda: self._tell(Measured(effect.replica, size, 0.0)))
            case Watch() | Decided():
                pass

    def _answer(self, seconds: float, effect: _Verb, what: Callable[[], Event]) -> None:
        self._attempts[effect.replica] = effect.attempt

        def come() -> None:
            if self._attempts.get(effect.replica) == effect.attempt:
                self._tell(what())

        self._later(seconds, come)

    def _drained(self, effect: Drain) -> Event:
        if self._in_flight[effect.service]:
            return DrainRefused(effect.replica, effect.attempt, "requests are in flight")
        return Drained(effect.replica, effect.attempt)

    def _start(self, effect: Start) -> None:
        world = self.fleet.world
        assert self.budget is None or world.charged() <= self.budget, f"{effect} exceeds the budget"
        at_once = sum(len(service.in_life(Life.STARTING)) for service in world.services.values())
        self.report.starts += 1
        self.report.most_starts_at_once = max(self.report.most_starts_at_once, at_once)
        self._tell(Started(effect.replica, effect.attempt, {"main": "127.0.0.1:20001"}))
        self._later(self.load.start_seconds[effect.service], lambda: self._tell(Ready(effect.replica, effect.attempt)))

    def _released(self, effect: Release) -> None:
        arrival, frozen = self._held.pop(effect.demand)
        waited = self.now - arrival.at
        if frozen:
            self.report.thawed += 1
        elif waited > 0:
            self.report.cold += 1
        else:
            self.report.warm += 1
        self._serve(arrival, waited)
