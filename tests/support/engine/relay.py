"""A way to the engine that a test can cut and mend: what a restart of the engine looks like from outside, without
touching the containers of anybody else."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tests.support.engine.daemon import SOCKET


class Relay:
    """Listens on a unix socket of its own and passes everything on."""

    def __init__(self, place: Path, target: Path = SOCKET) -> None:
        self.host = f"unix://{place}"
        self._place = place
        self._target = target
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._place)

    async def cut(self) -> None:
        """Every connection breaks, and nothing answers any more."""
        if self._server is not None:
            self._server.close()
            self._place.unlink(missing_ok=True)
        for writer in list(self._connections):
            writer.transport.abort()
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
        try:
            await asyncio.gather(_pass(reader, inner_writer), _pass(inner_reader, writer))
        finally:
            self._connections -= {writer, inner_writer}
            for one in (writer, inner_writer):
                one.transport.abort()
            self._tasks.discard(own)


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
    with contextlib.suppress(OSError):
        if target.can_write_eof():
            target.write_eof()
