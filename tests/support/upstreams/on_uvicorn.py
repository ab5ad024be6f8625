"""The common paths as a bare ASGI program on uvicorn."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from identity import Identity, begin, digest_answer, options, sized, tick

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        if scope["type"] == "websocket":
            return await self._websocket(receive, send)
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        if scope["path"] == "/sse":
            return await self._ticks(int(query.get("n", 10)), float(query.get("every", 0.1)), send)
        if scope["path"] == "/echo-sha":
            identifier = dict(scope["headers"]).get(b"x-post-id", b"").decode()
            self._identity.post(identifier)
            return await self._reply(send, 200, await digest_of(receive), b"application/json")
        status, body = await self._plain(scope["path"], query)
        return await self._reply(send, status, body)

    async def _plain(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        match path.split("/")[1:]:
            case [""]:
                return 200, self._identity.hello
            case ["health"]:
                return 200, b"ok"
            case ["size", length]:
                return 200, sized(int(length))
            case ["slow"]:
                await asyncio.sleep(float(query.get("s", 1.0)))
                return 200, b"slow"
        return 404, b"no such path"

    def _start(self, status: int, kind: bytes) -> dict[str, Any]:
        headers = [(b"content-type", kind), (b"x-instance", self._identity.header.encode())]
        return {"type": "http.response.start", "status": status, "headers": headers}

    async def _reply(self, send: Send, status: int, body: bytes, kind: bytes = b"text/plain") -> None:
        await send(self._start(status, kind))
        await send({"type": "http.response.body", "body": body})

    async def _ticks(self, count: int, every: float, send: Send) -> None:
        await send(self._start(200, b"text/event-stream"))
        for number in range(count):
            await send({"type": "http.response.body", "body": tick(number), "more_body": True})
            await asyncio.sleep(every)
        await send({"type": "http.response.body", "body": b""})

    async def _websocket(self, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"x-instance", self._identity.header.encode())]
        await send({"type": "websocket.accept", "headers": headers})
        while (message := await receive())["type"] == "websocket.receive":
            kept = {key: message[key] for key in ("bytes", "text") if message.get(key) is not None}
            await send({"type": "websocket.send", **kept})


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        step = (await receive())["type"]
        await send({"type": f"{step}.complete"})
        if step == "lifespan.shutdown":
            return


async def body_of(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the body ended early")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def digest_of(receive: Receive) -> bytes:
    digest, length = hashlib.sha256(), 0
    async for data in body_of(receive):
        digest.update(data)
        length += len(data)
    return digest_answer(digest.hexdigest(), length)


if __name__ == "__main__":
    chosen = options(__doc__ or "")
    uvicorn.run(
        App(begin("uvicorn", chosen)),
        host=chosen.host,
        port=chosen.port,
        ws="websockets-sansio",
        timeout_keep_alive=int(chosen.keep_alive),
        log_level="warning",
    )
