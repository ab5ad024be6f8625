"""The client's connections: a session of aiohttp for each event loop that asks."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import aiohttp

from services.api_adapter.client import forks


class Connections:
    """Opened at a loop's first call and kept for its further ones; a forked process opens its own."""

    def __init__(self, timeout: aiohttp.ClientTimeout, headers: Mapping[str, str], tls: ssl.SSLContext | bool) -> None:
        self._timeout = timeout
        self._headers = headers
        self._tls = tls
        self._opened: dict[asyncio.AbstractEventLoop, _Opened] = {}
        forks.tell(self)

    async def session(self) -> aiohttp.ClientSession:
        """Of the running loop. Those of loops that are closed are given up."""
        for other in [loop for loop in list(self._opened) if loop.is_closed()]:
            if opened := self._opened.pop(other, None):  # else another call does it just now
                await opened.end()
        loop = asyncio.get_running_loop()
        if loop not in self._opened:
            sockets: WeakSet[socket.socket] = WeakSet()

            def made(address: Any) -> socket.socket:
                one = socket.socket(*address[:3])
                sockets.add(one)
                return one

            connector = aiohttp.TCPConnector(ssl=self._tls, socket_factory=made)
            session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, headers=self._headers)
            self._opened[loop] = _Opened(session, sockets)
        return self._opened[loop].session

    async def close(self) -> None:
        """Those of the running loop. Idempotent."""
        opened = self._opened.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened.session.close()

    def forget(self) -> object:
        left, self._opened = self._opened, {}
        for loop, opened in left.items():
            opened.cut()
            # What this process never closes it would complain of at its end.
            loop.set_exception_handler(lambda _loop, _context: None)
        return left


@dataclass(frozen=True, slots=True)
class _Opened:
    session: aiohttp.ClientSession
    sockets: WeakSet[socket.socket] = field(repr=False)

    async def end(self) -> None:
        """Without the loop, which is closed and would have to close them."""
        await self.session.close()
        for one in list(self.sockets):
            one.close()

    def cut(self) -> None:
        """In a child: the server is to see the end of a connection when its owner ends it, and nothing of this copy."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for one in list(self.sockets):
            if one.fileno() >= 0:
                os.dup2(nothing, one.fileno(), inheritable=False)
        os.close(nothing)
