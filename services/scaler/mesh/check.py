"""The check endpoint: every request at the gate is asked about here, headers only, and held here while a service wakes.

Owns the HTTP server on a listening socket that outlives it. What becomes of a request stands in `rules`, how that
looks in `replies`; this module only carries. A client that leaves cancels its check.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import assert_never

from aiohttp import web

from services.catalog.model import Catalog
from services.scaler.core.effects import Refusal, Refuse
from services.scaler.mesh import replies
from services.scaler.mesh.answers import AnswerCache
from services.scaler.mesh.base import Demands, ServiceView
from services.scaler.mesh.held import MOST_HELD, Crowded, HeldChecks, Released
from services.scaler.mesh.names import SERVICE_HEADER, read_header
from services.scaler.mesh.replies import Client, Reply
from services.scaler.mesh.rules import Asleep, CrossSite, FromMemory, Hold, Request, State, Through, judge

_PREFIX = "/check"
_BACKLOG = 4096
_LARGEST_LINE = 65536
"""Envoy lets a request have 60 KiB of headers; its path comes here as a whole."""
_CROWDED_RETRY = 5.0


@dataclass(frozen=True, slots=True)
class Known:
    """What the check endpoint knows of the catalogue."""

    catalog: Catalog
    hub_origins: Collection[str] = frozenset()


class CheckEndpoint:
    def __init__(self, demands: Demands, held: HeldChecks, answers: AnswerCache) -> None:
        self.known = Known(Catalog())
        self._demands = demands
        self._held = held
        self._answers = answers
        self._runner: web.ServerRunner | None = None

    async def serve(self, sock: socket.socket) -> None:
        server = web.Server(
            self._answer,
            handler_cancellation=True,
            access_log=None,
            max_line_size=_LARGEST_LINE,
            max_field_size=_LARGEST_LINE,
        )
        # No grace: a held check that is cut is asked again by Envoy, of whoever serves the socket next.
        self._runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.SockSite(self._runner, sock, backlog=_BACKLOG).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, asked: web.BaseRequest) -> web.StreamResponse:
        headers = {key.lower(): value for key, value in asked.headers.items()}
        outcome = await self._decide(asked.method, asked.raw_path.removeprefix(_PREFIX), headers)
        if isinstance(outcome, Released):
            return web.Response(headers=replies.go_on(outcome.endpoint))
        return web.Response(status=outcome.code, body=outcome.body, headers=outcome.headers)

    async def _decide(self, method: str, path: str, headers: Mapping[str, str]) -> Released | Reply:
        target = read_header(headers.get(SERVICE_HEADER, ""))
        service = self.known.catalog.services.get(target.service) if target else None
        view = self._demands.view(target.service) if target else None
        if target is None or service is None or view is None:
            return replies.unknown(target.service if target else "")
        request = Request(target, method, path.partition("?")[0], headers)
        remembered = self._answers.get(service.name, request.path)
        origins = self.known.hub_origins
        verdict = judge(request, service, view, hub_origins=origins, remembered=remembered is not None)
        match verdict:
            case Hold():
                return await self._hold(request, verdict, _client(headers, verdict))
            case Asleep():
                return replies.asleep(view)
            case Through():
                return Released(verdict.endpoint)
            case State():
                return replies.health(view)
            case FromMemory():
                assert remembered is not None
                return replies.from_memory(view, remembered.content_type, remembered.body)
            case CrossSite():
                return replies.cross_site(view, headers.get("origin"), navigation=verdict.navigation)
            case _:
                assert_never(verdict)

    async def _hold(self, request: Request, hold: Hold, client: Client) -> Released | Reply:
        name = request.target.service
        try:
            outcome = await self._held.hold(request.target, hold.kind, hold.seconds)
        except Crowded:
            reason = f"{MOST_HELD} requests are waiting already"
            outcome = Refuse(0, Refusal.CROWDED, reason, _CROWDED_RETRY)
        if isinstance(outcome, Released):
            return outcome
        return replies.refused(outcome, self._demands.view(name) or ServiceView(name, "unknown"), client)


def _client(headers: Mapping[str, str], hold: Hold) -> Client:
    return Client(
        grpc=headers.get("content-type", "").startswith("application/grpc"),
        browser=hold.kind == "page",
        mount=headers.get("x-forwarded-prefix", ""),
    )
