"""The HTTP API of the scaler. `/v1/…` is for commands on this machine; `/api/health…` and `/.hub/state` are what the
gateway passes on, and wake nothing.

Errors are always `{"error": {"code", "message", ...}}`. `/v1` and `/metrics` refuse whatever came through the gateway:
a web page or a neighbour must not command the hub.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.scaler.admin.hub import Hub
from services.scaler.admin.restart import How, restart
from services.scaler.core.effects import Refuse
from services.scaler.core.events import (
    PinSet,
    PullAsked,
    SleepAsked,
    Unpinned,
)
from services.scaler.mesh.replies import state_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_GATEWAY_MARKS = ("x-forwarded-proto", "x-request-id", "x-forwarded-for")
"""Envoy sets the first two on everything it forwards."""

FAULTY_HEADER = "x-aihub-catalogue"
"""`faulty` on the answer to a command that goes by a reading of the catalogue before its files had a fault."""

_LONGEST_WAIT = 3600.0
_LONGEST_PIN = 10 * 365 * 86400.0
"""Longer than that is for ever, and should be said so."""


def application(hub: Hub, more: Callable[[Callable[[web.Request], str]], Iterable[web.RouteDef]]) -> web.Application:
    """`more`: further routes, made with what tells the service that a request names."""
    api = Api(hub)
    app = web.Application(middlewares=[_errors, _local_only, _by_the_files(hub)])
    app.on_response_prepare.append(_say_what_it_goes_by(hub))
    app.add_routes(more(api.named))
    app.add_routes(
        [
            web.get("/api/health", api.health),
            web.get("/api/health/{name}", api.health_of),
            web.get("/.hub/state", api.page_state),
            web.get("/v1/status", api.status),
            web.get("/v1/df", api.df),
            web.post("/v1/prune", api.prune),
            web.get("/v1/doctor", api.doctor),
            web.get("/v1/services/{name}/explain", api.explain),
            web.post("/v1/services/{name}/wake", api.wake),
            web.post("/v1/services/{name}/sleep", api.sleep),
            web.post("/v1/services/{name}/restart", api.restart),
            web.post("/v1/services/{name}/pin", api.pin),
            web.post("/v1/services/{name}/unpin", api.unpin),
            web.post("/v1/services/{name}/pull", api.pull),
            web.get("/metrics", api.metrics),
        ]
    )
    return app


class Api:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    # -- through the gateway -----------------------------------------------------------------------------------------

    async def health(self, request: web.Request) -> web.Response:
        states = {name: view.state for name, view in self._hub.control.views().items()}
        return web.json_response({"status": "ok", "services": states})

    async def health_of(self, request: web.Request) -> web.Response:
        return web.json_response(self._state(self._name(request)))

    async def page_state(self, request: web.Request) -> web.Response:
        """The waiting page asks this each second; the gateway names the service."""
        name = request.headers.get("x-lazy-service", "").split("~")[0].split(":")[0]
        if name not in self._hub.world.services:
            raise ApiError(404, "unknown-service", f"no such service: {name or '(none named)'}")
        return web.json_response(self._state(name), headers={"Cache-Control": "no-store"})

    # -- looking -----------------------------------------------------------------------------------------------------

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(self._hub.status())

    async def explain(self, request: web.Request) -> web.Response:
        return web.json_response(self._hub.explain(self._name(request)))

    async def df(self, request: web.Request) -> web.Response:
        return web.json_response(await self._hub.df())

    async def doctor(self, request: web.Request) -> web.Response:
        return web.json_response({"checks": self._hub.checks()})

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._hub.metrics(), content_type="text/plain")

    # -- saying ------------------------------------------------------------------------------------------------------

    async def wake(self, request: web.Request) -> web.Response:
        name = self._name(request)
        wait = _seconds(request, "wait", 300.0, most=_LONGEST_WAIT)
        ended = await self._hub.control.command_wake(name, wait)
        if isinstance(ended, Refuse):
            raise ApiError(503, ended.refusal.value, ended.reason, retry_after_s=ended.retry_after)
        return web.json_response(self._state(name))

    async def sleep(self, request: web.Request) -> web.Response:
        name, to = self._name(request), request.query.get("to", "paused")
        if to not in ("paused", "stopped"):
            raise ApiError(400, "bad-value", f"to={to}: must be paused or stopped")
        if refused := await self._hub.why_not_sleep(name):
            raise ApiError(409, refused.code, f"{name} stays awake: {refused.reason}", remedy=refused.remedy)
        self._hub.control.post(SleepAsked(name, to))
        await self._hub.until_resting(name, to)
        return web.json_response(self._state(name))

    async def restart(self, request: web.Request) -> web.Response:
        """With `wait`, seconds, the answer comes when it is up again, or tells why it is not."""
        name = self._runnable(request)
        wait = _seconds(request, "wait", 0.0, most=_LONGEST_WAIT)
        if refused := await self._hub.why_not_restart(name):
            raise ApiError(409, refused.code, f"{name} is not restarted: {refused.reason}", remedy=refused.remedy)
        ended = await restart(self._hub.control, name, wait)
        if ended.how is How.WAITING and not wait:
            return web.json_response(self._state(name), status=202)
        if ended.how is not How.UP:
            raise ApiError(409 if ended.how is How.STAYED else 503, ended.how.value, ended.reason)
        return web.json_response(self._state(name))

    async def pin(self, request: web.Request) -> web.Response:
        name = self._runnable(request)
        seconds = _seconds(request, "for", None, most=_LONGEST_PIN)
        until = None if seconds is None else self._hub.control.clock.now() + seconds
        self._hub.control.post(PinSet(name, until))
        return web.json_response(self._state(name))

    async def unpin(self, request: web.Request) -> web.Response:
        name = self._name(request)
        self._hub.control.post(Unpinned(name))
        return web.json_response(self._state(name))

    async def pull(self, request: web.Request) -> web.Response:
        name = self._runnable(request)
        self._hub.control.post(PullAsked(name))
        return web.json_response(self._state(name), status=202)

    def named(self, request: web.Request) -> str:
        """The service a path names and this machine can run. Raises ApiError."""
        return self._runnable(request)

    async def prune(self, request: web.Request) -> web.Response:
        names = [name for name in request.query.get("services", "").split(",") if name]
        for name in names:
            self._known(name)
        return web.json_response(await self._hub.prune(names or None, cache=request.query.get("cache") == "1"))

    def _state(self, name: str) -> dict[str, Any]:
        view = self._hub.control.view(name)
        assert view is not None
        return state_of(view)

    def _name(self, request: web.Request) -> str:
        return self._known(request.match_info["name"])

    def _runnable(self, request: web.Request) -> str:
        name = self._name(request)
        unavailable = self._hub.world.services[name].unavailable
        if unavailable:
            raise ApiError(409, "unavailable", unavailable)
        return name

    def _known(self, name: str) -> str:
        services = self._hub.world.services
        if name not in services:
            near = difflib.get_close_matches(name, services, n=1)
            raise ApiError(404, "unknown-service", f"no such service: {name}", **({"hint": near[0]} if near else {}))
        return name


class ApiError(Exception):
    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, **more}}


def _seconds(request: web.Request, key: str, default: Any, most: float = float("inf")) -> Any:
    text = request.query.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        bound = "" if most == float("inf") else f" and at most {most:.0f}"
        raise ApiError(400, "bad-value", f"{key}={text}: must be a number of seconds, at least 0{bound}")
    return value


def _by_the_files(hub: Hub) -> Middleware:
    """Commands, and what they ask, judge by the catalogue's files as they are now: in one place, for all of them."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            await hub.catch_up()
        return await handler(request)

    return handle


def _say_what_it_goes_by(hub: Hub) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        if hub.fault and request.path.startswith("/v1/services/"):
            response.headers[FAULTY_HEADER] = "faulty"

    return mark


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body, status=error.status)
    except web.HTTPException as error:
        body = {"error": {"code": "http", "message": f"{error.status} {error.reason}: {request.method} {request.path}"}}
        return web.json_response(body, status=error.status)


@web.middleware
async def _local_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    through_gateway = any(mark in request.headers for mark in _GATEWAY_MARKS)
    if through_gateway and not request.path.startswith(("/api/health", "/.hub/state")):
        raise ApiError(404, "not-here", "this path is not served at the gateway")
    return await handler(request)
