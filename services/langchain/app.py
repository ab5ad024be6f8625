"""The service's routes: which chains there are, one run to its end, one run as it goes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, assert_never

import aiohttp
from aiohttp import web

from services.langchain.chain import Chain, Details, Event, Ground, Inputs, Step, Text
from services.langchain.chains.agent import Agent
from services.langchain.chains.rag import Rag
from services.langchain.chains.simple import Simple
from services.langchain.chains.summarize import Summarize
from services.langchain.ground import HubGround
from services.langchain.settings import Settings
from services.web_service import bodies, http
from services.web_service.answers import UpstreamFailed, is_of_others
from services.web_service.problems import Problem, Refused

CHAINS: Sequence[Chain] = (Simple(), Summarize(), Rag(), Agent())
_DONE = b"data: [DONE]\n\n"


def made(settings: Settings) -> web.Application:
    ground = HubGround(settings)
    app = application(CHAINS, ground, largest=settings.largest)

    async def clients(_: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as session:
            ground.vectors.session = session
            yield

    app.cleanup_ctx.append(clients)
    return app


def application(chains: Sequence[Chain], ground: Ground, *, largest: int) -> web.Application:
    api = _Api({chain.name: chain for chain in chains}, ground)
    app = http.application("aihub_chains", largest=largest)
    app.add_routes(
        [
            web.get("/chains", api.chains),
            web.post("/chains/{type}", api.run),
            web.post("/chains/{type}/stream", api.stream),
        ]
    )
    return app


class _Api:
    def __init__(self, chains: Mapping[str, Chain], ground: Ground) -> None:
        self._chains = chains
        self._ground = ground

    async def chains(self, request: web.Request) -> web.Response:
        found = [
            {"type": chain.name, "description": chain.description, "inputs": chain.inputs.model_json_schema()}
            for chain in self._chains.values()
        ]
        return web.json_response({"chains": found})

    async def run(self, request: web.Request) -> web.Response:
        chain, inputs = await self._asked(request)
        output, more = [], {}
        async with contextlib.aclosing(self._events(chain, inputs)) as events:
            async for event in events:
                match event:
                    case Text():
                        output.append(event.piece)
                    case Details():
                        more = dict(event.more)
                    case Step():
                        pass  # told in the details, or of no worth afterwards
        return web.json_response({"chain": chain.name, "output": "".join(output), **more})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events. What fails before the first of them is an answer like any other; later it is an event."""
        chain, inputs = await self._asked(request)
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        async with contextlib.aclosing(self._events(chain, inputs)) as events:
            try:
                async for event in events:
                    if not reply.prepared:
                        await reply.prepare(request)
                    await reply.write(_event(_told(event)))
            except Exception as error:
                if not reply.prepared:
                    raise
                await reply.write(_event(http.told(error, f"{request.method} {request.path}").document()))
                return reply
        if not reply.prepared:
            await reply.prepare(request)
        await reply.write(_DONE)
        return reply

    async def _asked(self, request: web.Request) -> tuple[Chain, Inputs]:
        name = request.match_info["type"]
        chain = self._chains.get(name)
        if chain is None:
            known = ", ".join(self._chains)
            raise Refused(Problem(404, "no-chain", f"there is no chain {name!r}", "type", name, f"one of {known}"))
        return chain, bodies.read(chain.inputs, await request.read())

    async def _events(self, chain: Chain, inputs: Inputs) -> AsyncGenerator[Event, None]:
        """Raises Refused, UpstreamFailed."""
        try:
            async with contextlib.aclosing(chain.run(inputs, self._ground)) as events:
                async for event in events:
                    if event != Text(""):
                        yield event
        except (Refused, UpstreamFailed):
            raise
        except Exception as error:
            if not is_of_others(error):
                raise
            raise UpstreamFailed("ollama") from error


def _told(event: Event) -> dict[str, Any]:
    match event:
        case Text():
            return {"text": event.piece}
        case Step():
            return {"step": dict(event.what)}
        case Details():
            return {"details": dict(event.more)}
        case _:
            assert_never(event)


def _event(document: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()
