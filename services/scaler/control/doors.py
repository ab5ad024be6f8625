"""Doors before services: while one is closed, nothing of the service starts or thaws; whoever wants that waits.

To the fleet it is a start that takes longer. So requests are held meanwhile, as for any other wake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class InCare(Exception):
    """Somebody else keeps the door closed."""


class Doors:
    def __init__(self) -> None:
        self._closed: dict[str, asyncio.Event] = {}

    @contextmanager
    def closed(self, service: str) -> Iterator[None]:
        """Raises InCare."""
        if service in self._closed:
            raise InCare(f"{service} is being copied, restored or upgraded already")
        opened = self._closed[service] = asyncio.Event()
        try:
            yield
        finally:
            del self._closed[service]
            opened.set()

    async def passed(self, service: str) -> None:
        """Return as soon as the door is open."""
        while (opened := self._closed.get(service)) is not None:
            await opened.wait()
