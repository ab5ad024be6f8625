"""The checks that are held: each ends released, refused or left by its client, exactly once.

Owns the limit on how many there may be, and lets those of one replica go in slices.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.scaler.core.effects import Refuse
from services.scaler.core.events import DemandKind, ReplicaId
from services.scaler.mesh.accept_queue import room_at
from services.scaler.mesh.base import Demands, HeldRequest
from services.scaler.mesh.names import Target
from services.scaler.mesh.slices import INTERVAL, Slices

MOST_HELD = 2000


class Crowded(Exception):
    """MOST_HELD requests are held already."""


@dataclass(frozen=True, slots=True)
class Released:
    endpoint: str


Outcome = Released | Refuse


@dataclass(slots=True)
class _Check:
    service: str
    outcome: asyncio.Future[Outcome | None]
    """None: released to a replica that went away before its slice came; it is demanded again."""
    replica: ReplicaId | None = None
    """Set once it is released: it may still wait for its slice."""
    endpoint: str = ""


class HeldChecks:
    def __init__(self, demands: Demands, room: Callable[[str], int | None] = room_at) -> None:
        """`room`: how many connections the listener of an endpoint has room for; None where that is not known."""
        self._demands = demands
        self._room = room
        self._ids = itertools.count(1)
        self._checks: dict[int, _Check] = {}
        self._slices: dict[ReplicaId, Slices] = {}
        self._timers: dict[ReplicaId, asyncio.TimerHandle] = {}
        self._last_release: dict[ReplicaId, float] = {}
        self._released: Counter[ReplicaId] = Counter()

    async def hold(self, target: Target, kind: DemandKind, seconds: float) -> Outcome:
        """Wait for what the layer above decides. Cancelled when the client leaves; it is told then, unless it has
        decided already. Raises Crowded."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            outcome = await self._once(target, kind, max(0.0, end - loop.time()))
            if outcome is not None:
                return outcome

    async def _once(self, target: Target, kind: DemandKind, seconds: float) -> Outcome | None:
        if len(self._checks) >= MOST_HELD:
            raise Crowded
        number = next(self._ids)
        check = _Check(target.service, asyncio.get_running_loop().create_future())
        self._checks[number] = check
        try:
            self._demands.demand(HeldRequest(number, target.service, target.port, kind, seconds))
            return await check.outcome
        finally:
            del self._checks[number]
            if check.replica is not None:
                if check.replica in self._slices:
                    self._slices[check.replica].remove(number)
            elif not check.outcome.done() or check.outcome.cancelled():
                self._demands.left(number)

    def release(self, number: int, replica: ReplicaId, endpoint: str) -> None:
        check = self._checks.get(number)
        if check is None or check.outcome.done() or check.replica is not None:
            return
        check.replica, check.endpoint = replica, endpoint
        if self._slices.setdefault(replica, Slices()).add(number, self._room(endpoint)):
            self._let_go(number)
        self._set_timer(replica)

    def refuse(self, refuse: Refuse) -> None:
        check = self._checks.get(refuse.demand)
        if check is not None and not check.outcome.done() and check.replica is None:
            check.outcome.set_result(refuse)

    def held(self) -> Mapping[str, frozenset[int]]:
        """Ids by service of what no gateway has been told to send on."""
        found: dict[str, set[int]] = {}
        for number, check in self._checks.items():
            if not check.outcome.done():
                found.setdefault(check.service, set()).add(number)
        return {service: frozenset(ids) for service, ids in found.items()}

    def holds(self, service: str) -> bool:
        """Whether anybody is held for the service."""
        return any(check.service == service and not check.outcome.done() for check in self._checks.values())

    def waiting_for(self, replica: ReplicaId) -> int:
        """Released to the replica, and not yet let go."""
        return len(self._slices.get(replica, ()))

    def released_to(self, replica: ReplicaId) -> tuple[int, float]:
        """How many were ever let go to the replica, and the loop's time of the last one (0.0: none)."""
        return self._released[replica], self._last_release.get(replica, 0.0)

    def recall(self, replica: ReplicaId) -> None:
        """The replica is gone: what waits for its slice is demanded again."""
        slices = self._slices.get(replica)
        while slices:
            for number in slices.next():
                outcome = self._checks[number].outcome
                if not outcome.done():  # its client may have left in this very turn of the loop
                    outcome.set_result(None)

    def forget(self, replica: ReplicaId) -> None:
        self.recall(replica)
        timer = self._timers.pop(replica, None)
        if timer is not None:
            timer.cancel()
        for table in (self._slices, self._last_release, self._released):
            table.pop(replica, None)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _let_go(self, number: int) -> None:
        check = self._checks.get(number)
        if check is None or check.replica is None or check.outcome.done():
            return
        self._released[check.replica] += 1
        self._last_release[check.replica] = asyncio.get_running_loop().time()
        check.outcome.set_result(Released(check.endpoint))

    def _next_slice(self, replica: ReplicaId) -> None:
        self._timers.pop(replica, None)
        slices = self._slices[replica]
        first = self._checks.get(slices.first) if slices else None
        for number in slices.next(self._room(first.endpoint) if first else None):
            self._let_go(number)
        self._set_timer(replica)

    def _set_timer(self, replica: ReplicaId) -> None:
        if replica in self._timers or self._slices[replica].at_rest:
            return
        loop = asyncio.get_running_loop()
        self._timers[replica] = loop.call_later(INTERVAL, self._next_slice, replica)
