"""A small HTTP server on loopback that answers as a test says: what a client is told, without what would tell it so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Act = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    peer: int = 0
    """The port it came from: a connection of its own has one of its own."""


@dataclass
class ActingHub:
    """Runs in a thread of its own, so that a caller that waits can wait for it."""

    base: str = ""
    asked: list[Asked] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    """Who answers the next requests, one each; the last one answers all further ones."""
    left: threading.Event = field(default_factory=threading.Event)
    """A client has gone before its answer was whole."""

    def then(self, *acts: Act) -> None:
        self.acts = list(acts)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        peer = request.transport.get_extra_info("peername")[1] if request.transport else 0
        self.asked.append(Asked(request.method, request.path_qs, headers, json.loads(body) if body else None, peer))
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        try:
            return await act(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise


def says(document: object, status: int = 200, **headers: str) -> Act:
    async def act(_: web.Request) -> web.StreamResponse:
        told = {key.replace("_", "-"): value for key, value in headers.items()}
        if isinstance(document, bytes):
            return web.Response(body=document, status=status, headers=told)
        return web.json_response(document, status=status, headers=told)

    return act


def streams(*events: str, end: bool = True) -> Act:
    """Each as one server-sent event."""

    async def act(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        for event in events:
            await reply.write("".join(f"data: {line}\n" for line in event.split("\n")).encode() + b"\n")
        if end:
            await reply.write(b"data: [DONE]\n\n")
        return reply

    return act


def for_ever(event: str) -> Act:
    """The same event again and again, until the client leaves."""

    async def act(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        while True:
            await reply.write(f"data: {event}\n\n".encode())
            await asyncio.sleep(0.005)

    return act


async def falls_silent(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@contextlib.contextmanager
def acting_hub(tls: ssl.SSLContext | None = None) -> Iterator[ActingHub]:
    hub, loop, ready = ActingHub(), asyncio.new_event_loop(), threading.Event()
    ending = asyncio.Event()

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(hub.handle, handler_cancellation=True), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        hub.base = f"{'https' if tls else 'http'}://localhost:{runner.addresses[0][1]}"
        ready.set()
        await ending.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield hub
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()
