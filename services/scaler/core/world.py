"""All state of one fleet, with what a step gives out: effects in order, services to look at again, and times to look at
them. It decides nothing; the modules beside it do.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from services.catalog.model import Catalog
from services.scaler.core.effects import Decided, Effect, Refusal, Refuse
from services.scaler.core.events import ReplicaId
from services.scaler.core.state import Life, Replica, ServiceState, Settings, Waiting


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
