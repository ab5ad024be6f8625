"""What replicas take, whether they say that they are busy, and whether they still listen: one look at all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from services.catalog.model import Catalog, Service
from services.scaler.core.events import Deaf, Measured, ReplicaId
from services.scaler.drivers.base import Post
from services.scaler.drivers.docker import listening, readiness
from services.scaler.drivers.docker.engine import Engine
from services.scaler.drivers.docker.records import Phase
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.docker.sizes import WINDOW, Meter, Reading

_BUSY_ANSWER = 1.0
_SHORTEST_WINDOW = 1.0
_DEAF_AFTER = 4.0
"""Seconds without its listener, by the first and the last of several looks; a program that loads itself anew has none
for a moment."""


class Measuring:
    def __init__(self, engine: Engine, post: Post) -> None:
        self._engine = engine
        self._meter = Meter(engine)
        self._post = post
        self._turn = asyncio.Lock()
        self._deaf_since: dict[ReplicaId, float] = {}

    async def measure(self, wanted: Sequence[Replica], catalog: Catalog) -> Sequence[Measured]:
        if not wanted:
            return []
        async with self._turn:
            readings = await self._meter.read({live.id: (live.record.container, live.record.pid) for live in wanted})
            missing = await asyncio.to_thread(self._missing, wanted)
        for live in wanted:
            self._tell_deaf(live, missing[live.id])
        busy = await asyncio.gather(*(self._busy(live, catalog) for live in wanted))
        return [
            self._measured(live, found, catalog.services.get(live.record.service), is_busy)
            for live, is_busy in zip(wanted, busy, strict=True)
            if (found := readings.get(live.id)) is not None
        ]

    def _measured(self, live: Replica, found: Reading, service: Service | None, busy: bool) -> Measured:
        minute = self._meter.cores(live.id, found.cpu_seconds)
        window = max(_SHORTEST_WINDOW, min(service.scaling.idle_timeout, WINDOW)) if service else WINDOW
        return Measured(live.id, found.memory, minute, busy, self._meter.lately(live.id, window))

    async def count_from_here(self, live: Replica) -> None:
        readings = await self._meter.read({live.id: (live.record.container, live.record.pid)})
        if (found := readings.get(live.id)) is not None:
            self._meter.restart(live.id, found.cpu_seconds)

    def forget(self, replica: ReplicaId) -> None:
        self._meter.forget(replica)
        self._deaf_since.pop(replica, None)

    async def _busy(self, live: Replica, catalog: Catalog) -> bool:
        service = catalog.services.get(live.record.service)
        if service is None or not service.busy.http or not service.main or live.record.phase is not Phase.READY:
            return False
        endpoint = live.record.endpoints.get(service.main.name)
        return endpoint is not None and await readiness.get(endpoint, service.busy.http, _BUSY_ANSWER) == 200

    def _missing(self, wanted: Sequence[Replica]) -> dict[ReplicaId, frozenset[int]]:
        """Ports without a listener. Blocks for some milliseconds."""
        here = self._engine.local_root is not None
        return {live.id: _unheard(live) if here else frozenset() for live in wanted}

    def _tell_deaf(self, live: Replica, missing: frozenset[int]) -> None:
        if not missing or live.ended.done() or live.stopping:
            self._deaf_since.pop(live.id, None)
        elif time.monotonic() - self._deaf_since.setdefault(live.id, time.monotonic()) >= _DEAF_AFTER:
            lost = [one for one in live.record.endpoints.values() if readiness.split(one)[1] in missing]
            self._post(Deaf(live.id, f"{live.record.service} runs, but no longer listens on {', '.join(lost)}"))


def _unheard(live: Replica) -> frozenset[int]:
    if live.record.phase is not Phase.READY or live.record.pid is None:
        return frozenset()
    found = listening.ports(live.record.pid)
    return frozenset() if found is None else _numbers(live) - found


def _numbers(live: Replica) -> frozenset[int]:
    return frozenset(readiness.split(endpoint)[1] for endpoint in live.record.endpoints.values())
