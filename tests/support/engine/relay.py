"""A way to the engine that a test can cut and mend: what a restart of the engine looks like from outside, without
touching the containers of anybody else. It can also lose one answer, refuse requests in the engine's place, or keep the
engine's events back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.engine.daemon import SOCKET


class Relay:
    """Listens on a unix socket of its own and passes everything on."""

    def __init__(self, place: Path, target: Path | None = None) -> None:
        """`target`: None for the engine that the tests run on."""
        self.host = f"unix://{place}"
        self._place = place
        self._target = target or Path(os.environ.get("DOCKER_HOST", f"unix://{SOCKET}").removeprefix("unix://"))
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_lose: list[bytes] = []
        self._refused: dict[bytes, str] = {}
        self._events = asyncio.Event()
        self._events.set()

    def lose_answer(self, words: str) -> None:
        """To the next request with these words in its first line: the engine carries it out, and its connection breaks
        before the answer has come."""
        self._to_lose.append(words.encode())

    def refuse(self, words: str, message: str) -> None:
        """Every request without a body that has these words in its first line gets this error, and the engine does not
        hear of it."""
        self._refused[words.encode()] = message

    @property
    def to_lose(self) -> int:
        """Answers that no request has come for."""
        return len(self._to_lose)

    def hold_events(self) -> None:
        """What the engine tells of is kept until `tell_events`."""
        self._events.clear()

    def tell_events(self) -> None:
        self._events.set()

    async def mend(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._place)

    async def cut(self) -> None:
        """Every connection breaks, and nothing answers any more."""
        if self._server is not None:
            self._server.close()
            self._place.unlink(missing_ok=True)
        for writer in list(self._connections):
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = asyncio.current_task()
        assert own is not None
        self._tasks.add(own)
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._target))
        self._connections |= {writer, inner_writer}
        way = _Way()
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by `cut`
                asking = self._ask(way, reader, inner_writer, writer)
                await asyncio.gather(asking, self._answer(way, inner_reader, writer))
        finally:
            self._connections -= {writer, inner_writer}
            for one in (writer, inner_writer):
                one.transport.abort()
            self._tasks.discard(own)

    async def _ask(
        self, way: _Way, source: asyncio.StreamReader, target: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                line = piece.partition(b"\r\n")[0]
                if (refusal := next((said for words, said in self._refused.items() if words in line), None)) is None:
                    self._look_at(way, line)
                    target.write(piece)
                    await target.drain()
                else:
                    back.write(_error(refusal))
                    await back.drain()
        with contextlib.suppress(OSError):
            if target.can_write_eof():
                target.write_eof()

    def _look_at(self, way: _Way, line: bytes) -> None:
        if not line.endswith(b" HTTP/1.1"):
            return
        way.tells_events = b"/events" in line
        for words in self._to_lose:
            if words in line:
                self._to_lose.remove(words)
                way.loses = True
                return

    async def _answer(self, way: _Way, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                if way.loses:
                    target.transport.abort()
                    return
                if way.tells_events:
                    await self._events.wait()
                target.write(piece)
                await target.drain()
        with contextlib.suppress(OSError):
            if target.can_write_eof():
                target.write_eof()


def _error(message: str) -> bytes:
    body = json.dumps({"message": message}).encode()
    head = ("HTTP/1.1 500 Internal Server Error", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return "\r\n".join((*head, "", "")).encode() + body


@dataclass(slots=True)
class _Way:
    """One connection, with one request at a time."""

    loses: bool = False
    tells_events: bool = False
