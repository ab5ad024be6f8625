"""Routes for the care of data: archives go through as streams, as they can be larger than memory; what an upgrade does
is told line by line while it goes on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from services.scaler.admin.api import ApiError, Handler
from services.scaler.admin.care import Care, InUse, written_by
from services.scaler.control.doors import InCare
from services.scaler.control.loop import Control
from services.scaler.drivers.base import DriverError

_PIECE = 1 << 18


def routes(
    care: Care, control: Control, known: Callable[[web.Request], str], fault: Callable[[], str] = str
) -> list[web.RouteDef]:
    """`known`: the service that a request names, or ApiError. `fault`: why the catalogue is not what its files say;
    empty while it is."""
    api = _CareApi(care, control, known, fault)
    return [
        web.get("/v1/kept", api.kept),
        web.get("/v1/services/{name}/data", _told(api.save)),
        web.put("/v1/services/{name}/data", _told(api.load)),
        web.get("/v1/services/{name}/logs", _told(api.logs)),
        web.post("/v1/services/{name}/upgrade", _told(api.upgrade)),
    ]


class _CareApi:
    def __init__(
        self, care: Care, control: Control, known: Callable[[web.Request], str], fault: Callable[[], str]
    ) -> None:
        self._care = care
        self._control = control
        self._known = known
        self._fault = fault

    async def kept(self, request: web.Request) -> web.Response:
        """Every service that has data, with what they consist of."""
        found: dict[str, Any] = {}
        for name in self._control.fleet.world.services:
            if parts := await self._care.parts(name):
                found[name] = {"parts": list(parts), "image": written_by(self._control.spec(name))}
        return web.json_response({"services": found, "version": self._care.version})

    async def save(self, request: web.Request) -> web.StreamResponse:
        """A tar; one that ends without its last chunk is broken off, and the hub's log says why."""
        name = self._known(request)
        if not await self._care.parts(name):
            raise ApiError(409, "nothing-kept", f"{name} keeps nothing: there is nothing to copy")
        async with self._care.copying(name) as (how, archive):
            pieces = aiter(archive)
            first = await anext(pieces, b"")  # what cannot even begin is told as an error
            answer = web.StreamResponse(headers={"Content-Type": "application/x-tar", "X-Aihub-How": how})
            await answer.prepare(request)
            await answer.write(first)
            async for piece in pieces:
                await answer.write(piece)
            await answer.write_eof()
        return answer

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """What the service's container has written: `tail` lines, with `follow=1` then what comes."""
        name = self._known(request)
        tail = request.query.get("tail", "100")
        if not tail.isdigit():
            raise ApiError(400, "bad-value", f"tail={tail}: must be a number of lines")
        found = self._care.logs(name, int(tail), follow=request.query.get("follow") == "1")
        if found is None:
            raise ApiError(409, "in-files", f"the log of {name} is a file of the data folder, once it was started")
        first = await anext(found, b"")
        answer = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await answer.prepare(request)
        await answer.write(first)
        async for piece in found:
            await answer.write(piece)
        await answer.write_eof()
        return answer

    async def load(self, request: web.Request) -> web.Response:
        name = self._known(request)

        async def archive() -> AsyncIterator[bytes]:
            async for piece in request.content.iter_chunked(_PIECE):
                yield piece

        await self._care.restore(name, archive())
        return web.json_response({"restored": name})

    async def upgrade(self, request: web.Request) -> web.StreamResponse:
        """Lines of JSON: `{"say": …}` while it goes on, at last `{"done": …}` or `{"failed": …}`. Whoever asked may go:
        what has begun is ended in order. Refused while the catalogue's files have a fault: to which version it leads
        is what they would say."""
        name = self._known(request)
        if fault := self._fault():
            message = f"{name} is not upgraded while the catalogue's files have faults\n{fault}"
            raise ApiError(409, "faulty-catalogue", message, remedy="Mend them first; what runs goes on meanwhile.")
        lines: asyncio.Queue[dict[str, str] | None] = asyncio.Queue()

        async def work() -> None:
            try:
                done = await self._care.upgrade(name, lambda said: lines.put_nowait({"say": said}))
                lines.put_nowait({"done": done})
            except (DriverError, InUse, InCare) as error:
                lines.put_nowait({"failed": str(error)})
            finally:
                lines.put_nowait(None)

        working = asyncio.get_running_loop().create_task(work())
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        while (line := await lines.get()) is not None:
            await answer.write(json.dumps(line).encode() + b"\n")
        await working
        await answer.write_eof()
        return answer


def _told(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (InUse, InCare) as error:
            raise ApiError(409, "in-use", str(error), remedy="try again when it is idle") from None
        except DriverError as error:
            raise ApiError(500, "not-kept", str(error)) from None

    return handle
