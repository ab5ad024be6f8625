"""What replicas take, whether they say that they are busy, and whether they still listen: one look at all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.catalog.model import Catalog
from services.scaler.core.events import Deaf, Measured, ReplicaId
from services.scaler.drivers.base import Post
from services.scaler.drivers.docker import listening, readiness
from services.scaler.drivers.docker.engine import Engine
from services.scaler.drivers.docker.records import Phase
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.docker.sizes import Meter

_BUSY_ANSWER = 1.0
_DEAF_AFTER = 2
"""Looks in a row that find a port without a listener; one may fall into a restart within."""


class Measuring:
    def __init__(self, engine: Engine, post: Post) -> None:
        self._engine = engine
        self._meter = Meter(engine)
        self._post = post
        self._deaf: dict[ReplicaId, int] = {}

    async def measure(self, wanted: Sequence[Replica], catalog: Catalog) -> Sequence[Measured]:
        if not wanted:
            return []
        readings = await self._meter.read({live.id: (live.record.container, live.record.pid) for live in wanted})
        await asyncio.to_thread(self._listen, wanted)
        for live in wanted:
            self._tell_deaf(live)
        busy = await asyncio.gather(*(self._busy(live, catalog) for live in wanted))
        return [
            Measured(live.id, found.memory, self._meter.cores(live.id, found.cpu_seconds), is_busy)
            for live, is_busy in zip(wanted, busy, strict=True)
            if (found := readings.get(live.id)) is not None
        ]

    async def count_from_here(self, live: Replica) -> None:
        readings = await self._meter.read({live.id: (live.record.container, live.record.pid)})
        if (found := readings.get(live.id)) is not None:
            self._meter.restart(live.id, found.cpu_seconds)

    def forget(self, replica: ReplicaId) -> None:
        self._meter.forget(replica)
        self._deaf.pop(replica, None)

    async def _busy(self, live: Replica, catalog: Catalog) -> bool:
        service = catalog.services.get(live.record.service)
        if service is None or not service.busy.http or not service.main or live.record.phase is not Phase.READY:
            return False
        endpoint = live.record.endpoints.get(service.main.name)
        return endpoint is not None and await readiness.get(endpoint, service.busy.http, _BUSY_ANSWER) == 200

    def _listen(self, wanted: Sequence[Replica]) -> None:
        """Blocks for some milliseconds."""
        for live in wanted:
            missing = _missing(live) if self._engine.local_root is not None else frozenset()
            self._deaf[live.id] = self._deaf.get(live.id, 0) + 1 if missing else 0

    def _tell_deaf(self, live: Replica) -> None:
        if self._deaf.get(live.id, 0) >= _DEAF_AFTER and not live.ended.done() and not live.stopping:
            numbers = ", ".join(str(number) for number in sorted(_numbers(live)))
            self._post(Deaf(live.id, f"{live.record.service} lives and no longer listens on {numbers}"))


def _missing(live: Replica) -> frozenset[int]:
    if live.record.phase is not Phase.READY or live.record.pid is None:
        return frozenset()
    found = listening.ports(live.record.pid)
    return frozenset() if found is None else _numbers(live) - found


def _numbers(live: Replica) -> frozenset[int]:
    return frozenset(readiness.split(endpoint)[1] for endpoint in live.record.endpoints.values())
