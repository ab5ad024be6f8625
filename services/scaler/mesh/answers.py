"""The last good replies to the few paths a service lets be answered while it sleeps (`wake.answer`).

The mesh asks the replica itself, at its address, when it is published and before it rests. What users were sent is
never kept: it may be theirs alone. Replies live in memory; after a restart the first question wakes the service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from services.catalog.model import Protocol, Service

log = logging.getLogger(__name__)

LARGEST = 1 << 20
_LIMIT = aiohttp.ClientTimeout(total=2.0)


@dataclass(frozen=True, slots=True)
class Remembered:
    content_type: str
    body: bytes


class AnswerCache:
    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Remembered] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, service: str, path: str) -> Remembered | None:
        return self._answers.get((service, path))

    def renew_soon(self, service: Service, endpoints: Mapping[str, str]) -> None:
        if not self._wanted(service, endpoints):
            return
        task = asyncio.ensure_future(self.renew(service, endpoints))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def renew(self, service: Service, endpoints: Mapping[str, str]) -> None:
        """Ask for every path. One that fails keeps its last good reply. Raises nothing."""
        if not self._wanted(service, endpoints):
            return
        main = service.http_ports[0].name
        async with aiohttp.ClientSession(timeout=_LIMIT) as session:
            asked = (self._ask(session, service.name, endpoints[main], path) for path in service.wake.answer)
            await asyncio.gather(*asked)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @staticmethod
    def _wanted(service: Service, endpoints: Mapping[str, str]) -> bool:
        main = next(iter(service.http_ports), None)
        return (
            bool(service.wake.answer) and main is not None and main.protocol is Protocol.HTTP and main.name in endpoints
        )

    async def _ask(self, session: aiohttp.ClientSession, service: str, endpoint: str, path: str) -> None:
        try:
            async with session.get(f"http://{endpoint}{path}", allow_redirects=False) as answer:
                body = await answer.content.read(LARGEST + 1)
                while len(body) <= LARGEST and (more := await answer.content.read(LARGEST + 1 - len(body))):
                    body += more
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("%s: no reply to %s to keep: %s", service, path, error or type(error).__name__)
            return
        if answer.status == 200 and len(body) <= LARGEST:
            kind = answer.headers.get("content-type", "application/octet-stream")
            self._answers[service, path] = Remembered(kind, body)
