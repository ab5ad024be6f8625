"""Follows the engine's events: the book of containers is true a moment after anything happens, and nothing is polled.

Owns the stream and its reconnection: the stream is opened first, then one listing puts the book right, then what came
meanwhile is taken in. It tells changes, in order, and decides nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from services.scaler.drivers.docker.book import Book, Change
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused

log = logging.getLogger(__name__)

_EVENTS = {
    "type": ["container", "image", "network"],
    "event": [
        *("create", "start", "kill", "die", "pause", "unpause", "destroy", "rename", "oom", "health_status"),
        *("delete", "untag", "tag", "pull", "load", "import", "disconnect"),
    ],
}
_BACK_OFF = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_LONGEST_EVENT = 1 << 20


class Watch:
    """`on_change`: each change of a container. `on_images`: some image came or went. Called from the event loop."""

    def __init__(
        self, engine: Engine, book: Book, on_change: Callable[[Change], None], on_images: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._book = book
        self._on_change = on_change
        self._on_images = on_images
        self._task: asyncio.Task[None] | None = None
        self.also: list[Callable[[Mapping[str, Any]], None]] = []
        """Told every event of a container as it comes, also of those that are no compose service."""
        self.networks: list[Callable[[Mapping[str, Any]], None]] = []
        """Told every event of a network: made, removed, a container taken from it."""
        self.reconnected: list[Callable[[], None]] = []
        """Told when the stream has begun anew: events may have been lost."""
        self.connected = asyncio.Event()
        """Set while the book is kept by a living stream."""

    async def begin(self) -> None:
        """Open the stream; the book is true when this returns. Raises EngineAway, EngineRefused."""
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._follow(first))
        await asyncio.shield(first)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _follow(self, first: asyncio.Future[None]) -> None:
        failures = 0
        while True:
            try:
                async with self._engine.raw("GET", "events", {"filters": _EVENTS}) as stream:
                    await self._reconcile()
                    failures = 0
                    self.connected.set()
                    if not first.done():
                        first.set_result(None)
                    await self._read(stream)
                log.warning("the Docker Engine at %s has ended its stream of events", self._engine.place)
            except (EngineAway, EngineRefused, aiohttp.ClientError, OSError) as error:
                if not first.done():
                    first.set_exception(error)
                    return
                if failures == 0:
                    log.warning("the events of the Docker Engine are interrupted: %s", error)
            finally:
                self.connected.clear()
            await asyncio.sleep(_BACK_OFF[min(failures, len(_BACK_OFF) - 1)])
            failures += 1

    async def _reconcile(self) -> None:
        for change in self._book.put_right(await self._engine.get("containers/json", all=True)):
            self._on_change(change)
        self._on_images()
        for listener in self.reconnected:
            listener()

    async def _read(self, stream: aiohttp.ClientResponse) -> None:
        rest = b""
        async for piece in stream.content.iter_any():
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > _LONGEST_EVENT:
                raise aiohttp.ClientPayloadError("an event without an end")
            for line in lines:
                if line.strip():
                    self._take(json.loads(line))

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("Type") == "image":
            self._on_images()
        elif event.get("Type") == "network":
            for listener in self.networks:
                listener(event)
        elif event.get("Type") == "container":
            for listener in self.also:
                listener(event)
            if (change := self._book.take(event)) is not None:
                self._on_change(change)
