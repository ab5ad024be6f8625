"""The fleet's memory: services, their replicas, who waits for them, and the timers. Plain mutable data, one writer.

`World` also collects what a step gives out: effects in order, services to look at again, and times to look at them.
It decides nothing; the modules beside it do.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.catalog.model import Catalog, Service
from services.scaler.core.effects import Decided, Effect, Refusal, Refuse
from services.scaler.core.events import DemandKind, Flow, Progress, ReplicaId

MEBIBYTE = 1 << 20


class Life(StrEnum):
    """Where a replica is on its way. Order: start, service, rest, end."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    WITHDRAWING = "withdrawing"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    STOPPING = "stopping"


AWAKE = frozenset({Life.STARTING, Life.READY, Life.DRAINING, Life.WITHDRAWING, Life.PAUSING, Life.RESUMING})
"""States in which a replica needs what it depends on."""

SERVING = frozenset({Life.READY, Life.DRAINING})
"""States in which a gateway may have its endpoint."""


class Preparation(StrEnum):
    UNKNOWN = "unknown"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose; the same for the whole life of a fleet."""

    start_cap: int = 2
    """Cold starts under way at once."""
    default_memory: int = 512 * MEBIBYTE
    """Assumed size of a service that declares none and was never measured."""
    headroom: float = 0.10
    """Added to a measured size when room is reserved for the next start."""
    settle_time: float = 30.0
    """Seconds after a start during which its reserved room is not lowered to the measured size."""
    backoff_first: float = 1.0
    backoff_most: float = 60.0
    crash_window: float = 60.0
    crash_limit: int = 5
    """Crashes within the window that are repaired at once; more of them are a failure with back-off."""
    flow_valid: float = 5.0
    """Seconds for which a traffic reading counts; older ones are no data."""
    victim_grace: float = 1.0
    """Seconds without use before a service may be put to sleep to make room."""
    drain_retry: float = 2.0
    """Seconds until a refused drain is tried again."""


@dataclass(slots=True)
class Waiting:
    """A demand that is not over yet."""

    id: int
    kind: DemandKind
    port: str
    since: float
    deadline: float


@dataclass(slots=True)
class Replica:
    id: ReplicaId
    service: str
    life: Life
    attempt: int
    """Of the effect whose outcome is awaited; outcomes of others are stale."""
    digest: str
    charge: int
    """Bytes of the memory budget that are reserved for it."""
    since: float
    """When `life` began."""
    begun: float
    endpoints: Mapping[str, str] = field(default_factory=dict)
    pid: int | None = None
    adopted: bool = False
    """An earlier life of the scaler started it."""
    launched: bool = False
    """The program runs (perhaps not ready)."""
    ready_at: float | None = None
    memory: int | None = None
    peak: int = 0
    """Largest size measured while it served, bytes."""
    busy: str = ""
    """Why its last measurement counts as use; empty where it does not."""
    measured_at: float = float("-inf")
    measure_asked_at: float = float("-inf")
    rest_to: str = "paused"
    """Where the rest under way leads: `paused` or `stopped`."""
    reason: str = ""
    not_pausable: str = ""
    dead: bool = False
    """The program is gone; only the endpoint and what is left of the tree have to be cleared away. While a start or a
    thaw is awaited: its end was told before the outcome."""
    by_hand: bool = False
    """Of a dead one: somebody else has ended it."""
    finished: bool = False
    left: bool = False
    """Of a dead one: it has done its work; or it has failed, and by its entry it is not started again."""
    deaf: bool = False
    """It no longer listens: its rest is not taken back, and ends in a stop."""
    unproven: bool = False
    """Frozen, and nobody saw it quiet before: by an earlier life of the scaler or by somebody else."""
    drain_after: float = 0.0
    """A refused drain is not tried again before; of a deaf one 0 while a drain is under way."""
    released: int = 0

    def move(self, life: Life, attempt: int, now: float) -> None:
        self.life, self.attempt, self.since = life, attempt, now


@dataclass(slots=True)
class ServiceState:
    spec: Service
    needs: tuple[str, ...] = ()
    """Services it depends on or uses, those in the catalogue."""
    dependents: tuple[str, ...] = ()
    unavailable: str = ""
    retired: bool = False
    """No longer in the catalogue; goes when its last replica has."""
    replicas: dict[ReplicaId, Replica] = field(default_factory=dict)
    demands: dict[int, Waiting] = field(default_factory=dict)
    waking: bool = False
    """A wake was begun and goes on, with or without anybody waiting."""
    pulling: bool = False
    forced: bool = False
    """A command asked: back-off does not apply to the next start."""
    preparation: Preparation = Preparation.UNKNOWN
    prepare_attempt: int = 0
    progress: Progress | None = None
    prepare_since: float = 0.0
    queued_at: float | None = None
    """Since when it waits for a place to start; None while it does not."""
    no_room: str = ""
    """Why the queue does not let it start, for people."""
    interrupted: bool = False
    """Somebody else has ended a start of it since it last served or failed: the next one that is ended is a failure."""
    failures: int = 0
    retry_at: float = 0.0
    failure: str = ""
    crashes: list[float] = field(default_factory=list)
    last_use: float = 0.0
    use_reason: str = ""
    pinned_until: float | None = None
    flow: Flow | None = None
    flow_at: float = float("-inf")
    released_at: float = float("-inf")
    """Last time a demand was let go on or a replica began to serve; an older traffic reading says nothing about it."""
    low_since: float | None = None
    """Since when one replica fewer would do."""
    size: int | None = None
    """What a replica grows to: the peak of the last life, or of this one where that is more; bytes."""
    start_seconds: list[float] = field(default_factory=list)
    """How long the last starts took, newest last."""
    prepare_seconds: float | None = None
    next_ordinal: int = 1
    demanded_at: float = float("-inf")
    restarting: bool = False
    """Rests to come back at once."""
    put_down: bool = False
    """Always on, and ended by somebody else or not begun by its owner: theirs to start, until it is asked for."""
    finished: bool = False
    """Its last replica has done its work: no other is begun by itself."""
    left: bool = False
    """Always on, and failed, and by its entry not started again: no other is begun before somebody asks for it."""
    timer_at: float = float("inf")
    """Its earliest timer that has not gone off."""

    @property
    def name(self) -> str:
        return self.spec.name

    def in_life(self, *lives: Life) -> list[Replica]:
        return [replica for replica in self.replicas.values() if replica.life in lives]

    @property
    def awake(self) -> bool:
        return any(replica.life in AWAKE for replica in self.replicas.values())

    @property
    def counted(self) -> bool:
        """Its traffic has to be read: a replica serves, or is frozen and nobody saw it quiet before."""
        return bool(self.in_life(*SERVING)) or any(replica.unproven for replica in self.replicas.values())

    @property
    def at_rest(self) -> bool:
        """Always on by its entry, and yet not to be started before somebody asks for it."""
        return self.put_down or self.finished or self.left

    @property
    def min_replicas(self) -> int:
        if self.retired or self.unavailable:
            return 0
        least = self.spec.scaling.min_replicas if self.spec.lazy else max(1, self.spec.scaling.min_replicas)
        return min(least, sum(not one.dead for one in self.replicas.values())) if self.at_rest else least

    @property
    def max_replicas(self) -> int:
        return max(1, self.spec.scaling.max_replicas, self.spec.scaling.min_replicas)

    def pinned(self, now: float) -> bool:
        return not self.retired and self.pinned_until is not None and now < self.pinned_until

    @property
    def only_silent(self) -> bool:
        """All that is in flight has been silent for longer than the service says counts."""
        limit = self.spec.busy.websocket_idle
        return limit is not None and self.flow is not None and self.flow.silent >= limit

    @property
    def idle_since(self) -> float:
        """When its idle time begins: at the last use, or at the end of its pin where that is later."""
        ended = self.pinned_until if self.pinned_until is not None and self.pinned_until != float("inf") else 0.0
        return max(self.last_use, ended)

    @property
    def rest_due(self) -> float:
        """When it has been idle for as long as its catalogue entry tolerates."""
        return self.idle_since + self.spec.scaling.idle_timeout


class World:
    """All state of one fleet, and the outbox of the step under way."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = float("-inf")
        self.catalog = Catalog()
        self.services: dict[str, ServiceState] = {}
        self.demand_of: dict[int, str] = {}
        self.replica_of: dict[ReplicaId, str] = {}
        self.budget: dict[str, int] = {}
        self.effects: list[Effect] = []
        self.dirty: dict[str, None] = {}
        self.timers: list[tuple[float, str]] = []
        self.queue: dict[str, None] = {}
        self.closing = False
        self.attempts = 0
        """How many were given out; the next is one more."""
        self._charged: int | None = None

    # -- outbox ------------------------------------------------------------------------------------------------------

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)

    def decide(self, service: str, what: str, reason: str) -> None:
        self.effects.append(Decided(service, what, reason))

    def touch(self, *names: str) -> None:
        """Look at these again before the step ends."""
        for name in names:
            if name in self.services:
                self.dirty[name] = None

    def schedule(self, at: float, name: str) -> None:
        """Look at `name` at that time, or earlier: one look re-schedules what is not due yet, so a later timer need not
        stand beside an earlier one. Timers are never cancelled: what they find decides."""
        service = self.services[name]
        if at < service.timer_at:
            service.timer_at = at
            heapq.heappush(self.timers, (at, name))
            if len(self.timers) > 64 + 4 * len(self.services):
                self._drop_idle_timers()

    def _drop_idle_timers(self) -> None:
        """Timers that an earlier one replaced stay until their time; many of them are worth a sweep."""
        self.timers = sorted({(at, name) for at, name in self.timers if self._goes_off(at, name)})

    def _goes_off(self, at: float, name: str) -> bool:
        service = self.services.get(name)
        return service is not None and service.timer_at == at

    def due(self) -> Iterator[str]:
        while self.timers and self.timers[0][0] <= self.now:
            at, name = heapq.heappop(self.timers)
            if self._goes_off(at, name):
                self.services[name].timer_at = float("inf")
                yield name

    def new_attempt(self) -> int:
        self.attempts += 1
        return self.attempts

    # -- look-up ---------------------------------------------------------------------------------------------------

    def replica(self, replica: ReplicaId) -> tuple[ServiceState, Replica] | None:
        service = self.services.get(self.replica_of.get(replica, ""))
        if service is None or replica not in service.replicas:
            return None
        return service, service.replicas[replica]

    def fresh(self, service: ServiceState) -> bool:
        """Whether its last traffic reading still counts."""
        return service.flow is not None and self.now < service.flow_at + self.settings.flow_valid

    def quiet(self, service: ServiceState) -> bool:
        """A fresh reading, taken after the last request was let go on, shows nothing in flight."""
        if service.flow is None or not self.fresh(service) or service.flow_at <= service.released_at:
            return False
        return service.flow.active == 0 or service.only_silent

    def answered(self, replica: ReplicaId, attempt: int, *lives: Life) -> tuple[ServiceState, Replica] | None:
        """The replica whose awaited outcome this is; None where the fleet has gone another way meanwhile."""
        found = self.replica(replica)
        if found is None or found[1].attempt != attempt or found[1].life not in lives:
            return None
        return found

    # -- changes that several modules share ------------------------------------------------------------------------

    def add_replica(self, service: ServiceState, replica: Replica) -> None:
        service.replicas[replica.id] = replica
        self.replica_of[replica.id] = service.name
        if self._charged is not None:
            self._charged += replica.charge

    def charge(self, replica: Replica, amount: int) -> None:
        """Reserve so many bytes of the memory budget for it instead of what was reserved before."""
        if self._charged is not None:
            self._charged += amount - replica.charge
        replica.charge = amount

    def charged(self) -> int:
        """Bytes of the memory budget that are reserved. Not summed anew, for every step asks."""
        if self._charged is None:
            self._charged = sum(self.services[s].replicas[r].charge for r, s in self.replica_of.items())
        return self._charged

    def drop_replica(self, service: ServiceState, replica: Replica) -> None:
        """Forget a replica of which nothing is left; those that waited for its room or its end are looked at."""
        del service.replicas[replica.id]
        del self.replica_of[replica.id]
        if self._charged is not None:
            self._charged -= replica.charge
        service.size = replica.peak or service.size
        self.touch(service.name, *service.needs, *service.dependents)
        if service.retired and not service.replicas:
            self.drop_service(service)

    def drop_service(self, service: ServiceState) -> None:
        """Forget one that has left the catalogue and of which nothing runs."""
        del self.services[service.name]
        for name in service.needs:
            other = self.services.get(name)
            if other is not None:
                other.dependents = tuple(one for one in other.dependents if one != service.name)

    def forget_replicas(self) -> None:
        """What ran is unknown."""
        self.replica_of.clear()
        for service in self.services.values():
            service.replicas.clear()
        self._charged = None

    def refuse(
        self, service: ServiceState, waiting: Waiting, refusal: Refusal, reason: str, retry_after: float
    ) -> None:
        del service.demands[waiting.id]
        del self.demand_of[waiting.id]
        self.emit(Refuse(waiting.id, refusal, reason, max(1.0, retry_after)))

    def refuse_all(self, service: ServiceState, refusal: Refusal, reason: str, retry_after: float) -> None:
        for waiting in list(service.demands.values()):
            self.refuse(service, waiting, refusal, reason, retry_after)

    def enqueue(self, service: ServiceState) -> None:
        """It wants to start; `admission` says when."""
        if service.queued_at is None:
            service.queued_at = self.now
            self.queue[service.name] = None

    def leave_queue(self, service: ServiceState) -> None:
        service.queued_at, service.no_room = None, ""
        self.queue.pop(service.name, None)

    def used(self, service: ServiceState, reason: str) -> None:
        service.last_use, service.use_reason = self.now, reason
