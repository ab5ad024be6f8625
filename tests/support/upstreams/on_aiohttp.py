"""The common paths on aiohttp's server."""

from __future__ import annotations

import asyncio
import hashlib

from aiohttp import WSMsgType, web
from identity import Identity, begin, digest_answer, options, sized, tick


class App:
    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.on_response_prepare.append(self._sign)
        app.add_routes(
            [
                web.get("/", self._hello),
                web.get("/health", self._health),
                web.get("/size/{length}", self._size),
                web.get("/slow", self._slow),
                web.get("/sse", self._ticks),
                web.get("/ws", self._websocket),
                web.post("/echo-sha", self._echo),
            ]
        )
        return app

    async def _sign(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Instance"] = self._identity.header

    async def _hello(self, _: web.Request) -> web.Response:
        return web.Response(body=self._identity.hello)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(body=b"ok")

    async def _size(self, request: web.Request) -> web.Response:
        return web.Response(body=sized(int(request.match_info["length"])))

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("s", 1.0)))
        return web.Response(body=b"slow")

    async def _ticks(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(int(request.query.get("n", 10))):
            await response.write(tick(number))
            await asyncio.sleep(float(request.query.get("every", 0.1)))
        await response.write_eof()
        return response

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    async def _echo(self, request: web.Request) -> web.Response:
        self._identity.post(request.headers.get("X-Post-Id"))
        digest, length = hashlib.sha256(), 0
        async for data in request.content.iter_chunked(65536):
            digest.update(data)
            length += len(data)
        return web.Response(body=digest_answer(digest.hexdigest(), length), content_type="application/json")


if __name__ == "__main__":
    chosen = options(__doc__ or "")
    web.run_app(
        App(begin("aiohttp", chosen)).application(),
        host=chosen.host,
        port=chosen.port,
        keepalive_timeout=chosen.keep_alive,
        shutdown_timeout=1.0,
        print=None,
    )
