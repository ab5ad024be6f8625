"""The HTTP that services of our own have in common: failures become problems, requests are counted.

Each handler is cancelled when its client leaves, and with it what it has asked of others.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from services.web_service.answers import UpstreamFailed, problem_of
from services.web_service.problems import MEDIA_TYPE, Problem, Refused

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LEFT = 499
"""Counted where the client did not wait for the answer."""


def application(name: str, *, largest: int) -> web.Application:
    """With `/healthz` and `/metrics`. `name`: how the figures' names begin. `largest`: bytes of a request's body."""
    counted = _Counted(name)
    app = web.Application(client_max_size=largest, middlewares=[counted.middleware, _problems])
    app.add_routes([web.get("/healthz", _healthz), web.get("/metrics", counted.metrics)])
    return app


def answer(problem: Problem) -> web.Response:
    body = json.dumps(problem.document()).encode()
    return web.Response(status=problem.status, body=body, content_type=MEDIA_TYPE, headers=problem.headers())


def told(error: Exception, what: str) -> Problem:
    """Of whatever a handler has raised, which `what` names for the log."""
    match error:
        case Refused():
            return error.problem
        case web.HTTPRequestEntityTooLarge():
            detail = f"the body is larger than allowed: {error.text}"
            return Problem(413, "too-large", detail, remedy="send less in one request")
        case web.HTTPException():
            return Problem(error.status, "http", f"{error.reason}: {what}")
        case UpstreamFailed():
            problem = problem_of(error.__cause__ or error, error.service)
            log.info("%s: %s %s", what, problem.status, problem.detail)
            return problem
    log.error("%s failed", what, exc_info=error)
    return Problem(500, "internal", "a fault of the service's own; its log has the rest")


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as error:
        return answer(told(error, f"{request.method} {request.path}"))


class _Counted:
    """Figures for Prometheus: how many, how long, with which status; by route, as names within paths are endless."""

    def __init__(self, name: str) -> None:
        self._registry = CollectorRegistry()
        labels = ("route", "status")
        self._requests = Counter(f"{name}_requests", "Requests answered", labels, registry=self._registry)
        self._seconds = Histogram(f"{name}_seconds", "How long an answer took", ("route",), registry=self._registry)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        began = time.monotonic()
        status = _LEFT
        try:
            made = await handler(request)
            status = made.status
            return made
        finally:
            self._requests.labels(route, status).inc()
            self._seconds.labels(route).observe(time.monotonic() - began)

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": "text/plain; version=0.0.4"})
