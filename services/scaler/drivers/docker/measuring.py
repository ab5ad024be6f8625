"""What replicas take, whether they say that they are busy, and whether they still listen: one look at all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import islice

from services.catalog.model import Catalog
from services.scaler.core.events import Deaf, Measured, ReplicaId
from services.scaler.drivers.base import Post
from services.scaler.drivers.docker import past_gateway, readiness
from services.scaler.drivers.docker.engine import Engine
from services.scaler.drivers.docker.records import Phase
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.docker.sizes import Meter
from services.scaler.drivers.usage import Usage

_BUSY_ANSWER = 1.0
_LISTEN_EVERY = 4.0
"""Seconds between two looks at a listener that is there."""
_DEAF_AFTER = 4.0
"""Seconds without its listener, by the first and the last of several looks; a program that loads itself anew has none
for a moment."""


class Measuring:
    def __init__(self, engine: Engine, post: Post) -> None:
        self._engine = engine
        self._meter = Meter(engine)
        self._usage = Usage()
        self._post = post
        self._turn = asyncio.Lock()
        self._deaf_since: dict[ReplicaId, float] = {}
        self._heard: dict[ReplicaId, float] = {}
        self._once_heard: dict[ReplicaId, set[str]] = {}
        """Endpoints that a replica has listened on: the main port, which comes first, and those seen since. Nobody may
        ever have listened on the others."""

    async def measure(self, wanted: Sequence[Replica], catalog: Catalog) -> Sequence[Measured]:
        if not wanted:
            return []
        async with self._turn:
            readings = await self._meter.read({live.id: (live.record.container, live.record.pid) for live in wanted})
        await asyncio.gather(*(self._listen(live) for live in wanted))
        busy = await asyncio.gather(*(self._busy(live, catalog) for live in wanted))
        past = await asyncio.gather(*(self._past_gateway(live) for live in wanted))
        return [
            self._usage.measured(
                *(live.id, found.memory, found.cpu_seconds, is_busy, catalog.services.get(live.record.service), callers)
            )
            for live, is_busy, callers in zip(wanted, busy, past, strict=True)
            if (found := readings.get(live.id)) is not None
        ]

    async def count_from_here(self, live: Replica) -> None:
        readings = await self._meter.read({live.id: (live.record.container, live.record.pid)})
        if (found := readings.get(live.id)) is not None:
            self._usage.restart(live.id, found.cpu_seconds)

    def forget(self, replica: ReplicaId) -> None:
        self._usage.forget(replica)
        self._deaf_since.pop(replica, None)
        self._heard.pop(replica, None)
        self._once_heard.pop(replica, None)

    async def _busy(self, live: Replica, catalog: Catalog) -> bool:
        service = catalog.services.get(live.record.service)
        if service is None or not service.busy.http or not service.main or live.record.phase is not Phase.READY:
            return False
        endpoint = live.record.endpoints.get(service.main.name)
        return endpoint is not None and await readiness.get(endpoint, service.busy.http, _BUSY_ANSWER) == 200

    async def _past_gateway(self, live: Replica) -> int:
        """Asked of containers alone that were made without our override: it takes the kernel 10 ms."""
        if not live.record.lazy or not live.published or not live.record.pid or self._engine.local_root is None:
            return 0
        return await asyncio.to_thread(past_gateway.connections, live.record.pid, live.published) or 0

    async def _listen(self, live: Replica) -> None:
        """A connection that is closed at once: the table of a container's sockets takes the kernel 10 ms to show."""
        now = time.monotonic()
        if live.record.phase is not Phase.READY or now - self._heard.get(live.id, 0.0) < _LISTEN_EVERY:
            return
        heard = {one: await readiness.listens(one) for one in live.record.endpoints.values()}
        if live.record.phase is not Phase.READY or live.ended.done() or live.stopping:
            return
        known = self._once_heard.setdefault(live.id, set(islice(heard, 1)))
        known.update(endpoint for endpoint, is_heard in heard.items() if is_heard)
        lost = [endpoint for endpoint, is_heard in heard.items() if not is_heard and endpoint in known]
        if not lost:
            self._heard[live.id] = now
            self._deaf_since.pop(live.id, None)
        elif now - self._deaf_since.setdefault(live.id, now) >= _DEAF_AFTER:
            self._post(Deaf(live.id, f"{live.record.service} runs, but no longer listens on {', '.join(lost)}"))
