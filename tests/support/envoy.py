"""A real Envoy with the mesh in front of upstream servers, and a small control layer that plays the one above.

The Director is honest but plain: one replica a service, single flight, awake after a given time, at rest when told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from services.catalog.addresses import Edge
from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog, Service
from services.layout import Layout
from services.scaler.core.effects import Refusal, Refuse
from services.scaler.core.events import DemandKind
from services.scaler.mesh.base import HeldRequest, ServiceView
from services.scaler.mesh.envoy_mesh import EnvoyMesh
from services.scaler.mesh.replies import state_of
from tests.support.ports import free_port

READY_WITHIN = 15.0


def envoy_binary() -> str:
    named = os.environ.get("AIHUB_ENVOY") or Path(sys.prefix, "opt", "envoy", "envoy", "_bin", "envoy")
    if not os.access(named, os.X_OK):
        pytest.fail(f"no Envoy at {named}: run ./scripts/setup")
    return str(named)


@dataclass
class Actor:
    """One service as the Director sees it."""

    endpoints: Mapping[str, str] = field(default_factory=dict)
    wakes_after: float | None = 0.0
    """Seconds; None: only when a test says so."""
    state: str = "stopped"
    view: dict[str, object] = field(default_factory=dict)
    wakes: int = 0
    lives: int = 0
    pending: dict[int, HeldRequest] = field(default_factory=dict)
    asked: list[HeldRequest] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    waking: asyncio.Task[None] | None = None
    fails: str = ""
    """Reason for which it cannot be started."""


class Director:
    def __init__(self) -> None:
        self.mesh: EnvoyMesh | None = None
        self.actors: dict[str, Actor] = {}
        self.changed = asyncio.Condition()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- Demands -----------------------------------------------------------------------------------------------------

    def demand(self, request: HeldRequest) -> None:
        actor = self.actors[request.service]
        actor.asked.append(request)
        actor.pending[request.id] = request
        if actor.state == "ready":
            self._release(actor, request.id)
        elif actor.fails:
            self.refuse(request, Refusal.FAILED, actor.fails)
        else:
            if actor.waking is None and actor.wakes_after is not None:
                actor.waking = asyncio.ensure_future(self._wake_later(request.service, actor.wakes_after))
            self._timers[request.id] = asyncio.get_running_loop().call_later(
                request.hold, self.refuse, request, Refusal.WAITING, f"{request.service} is still starting"
            )
        self._notify()

    def left(self, request_id: int) -> None:
        for actor in self.actors.values():
            if actor.pending.pop(request_id, None):
                actor.left.append(request_id)
        self._disarm(request_id)
        self._notify()

    def view(self, service: str) -> ServiceView | None:
        actor = self.actors.get(service)
        return None if actor is None else ServiceView(service, actor.state, **actor.view)  # type: ignore[arg-type]

    def views(self) -> Mapping[str, ServiceView]:
        return {name: view for name in self.actors if (view := self.view(name))}

    # -- acts --------------------------------------------------------------------------------------------------------

    def refuse(self, request: HeldRequest, refusal: Refusal, reason: str, retry_after: float = 3.0) -> None:
        assert self.mesh is not None
        if self.actors[request.service].pending.pop(request.id, None):
            self._disarm(request.id)
            self.mesh.refuse(Refuse(request.id, refusal, reason, retry_after))

    def wake(self, name: str) -> None:
        """Publish the replica, and let everybody go on to it."""
        actor = self.actors[name]
        assert self.mesh is not None
        actor.wakes += 1
        actor.lives += actor.state in ("stopped", "failed")
        actor.state, actor.waking = "ready", None
        self.mesh.publish(self.replica(name), name, actor.endpoints)
        for request in list(actor.pending):
            self._release(actor, request)

    async def rest(self, name: str, state: str = "paused") -> None:
        """The whole order; who comes meanwhile is held. Raises Busy."""
        assert self.mesh is not None
        self.actors[name].state = "draining"
        await self.mesh.drain(self.replica(name))
        moved = await self.mesh.withdraw(self.replica(name))
        assert not moved, "a request came to a replica that was withdrawn"
        self.actors[name].state = state
        assert not await self.mesh.moved(self.replica(name))

    def replica(self, name: str) -> str:
        return f"{name}-{self.actors[name].lives}"

    async def until(self, done: object, limit: float = 10.0) -> None:
        """Wait until `done()` holds; looked at whenever a demand comes or goes."""
        assert callable(done)
        async with asyncio.timeout(limit), self.changed:
            await self.changed.wait_for(done)

    async def held(self, name: str, count: int, limit: float = 20.0) -> None:
        await self.until(lambda: len(self.actors[name].pending) >= count, limit)

    def _release(self, actor: Actor, request_id: int) -> None:
        assert self.mesh is not None
        request = actor.pending.pop(request_id)
        self._disarm(request_id)
        self.mesh.release(request_id, self.replica(request.service), actor.endpoints[request.port])

    async def _wake_later(self, name: str, after: float) -> None:
        await asyncio.sleep(after)
        self.wake(name)

    def _disarm(self, request_id: int) -> None:
        timer = self._timers.pop(request_id, None)
        if timer is not None:
            timer.cancel()

    def _notify(self) -> None:
        async def tell() -> None:
            async with self.changed:
                self.changed.notify_all()

        task = asyncio.ensure_future(tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        tasks = [*self._tasks, *(actor.waking for actor in self.actors.values() if actor.waking)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Rig:
    """Mesh, Director, hub's own HTTP and Envoy in one folder. `client` keeps no cookies and follows no redirect."""

    def __init__(self, folder: Path, services: list[Service], *, tls: tuple[str, str] | None = None) -> None:
        self.layout = Layout(folder / "d")
        self.layout.make()
        self.edge = Edge("127.0.0.1", free_port(), tls is not None)
        self.inner_edge = Edge("0.0.0.0", free_port())
        self.inside: tuple[InsideNetwork, ...] | None = None
        self.catalog = Catalog({service.name: service for service in services})
        self.director = Director()
        self.connected = asyncio.Event()
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._check = _listen(self.layout.check_socket)
        self._ads = _listen(self.layout.ads_socket)
        self._admin: web.AppRunner | None = None
        self.mesh = self._new_mesh()
        self.hub_saw: list[tuple[str, str | None]] = []
        """Path and service header of what came to the hub's own HTTP."""

    @property
    def base(self) -> str:
        return f"{self.edge.scheme}://127.0.0.1:{self.edge.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self.layout.logs / "envoy.log").read_text()

    async def start(self) -> None:
        for name in self.catalog.services:
            self.director.actors.setdefault(name, Actor())
        self.mesh.configure(self.catalog, self.inside)
        await self._serve_admin()
        await self.serve()
        await self.start_envoy()

    async def serve(self) -> None:
        await self.mesh.serve(self._check.dup(), self._ads.dup())

    async def start_envoy(self) -> None:
        for path in (self.layout.gate_socket, self.layout.envoy_admin_socket):
            path.unlink(missing_ok=True)
        self.connected.clear()
        self._process = start_gateway(self.layout.envoy / "bootstrap.json", self.layout.logs / "envoy.log")
        await asyncio.wait_for(self.connected.wait(), READY_WITHIN)
        await self._ready()

    def kill_envoy(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def stop_control(self) -> None:
        """The scaler goes away; the sockets stay."""
        await self.mesh.close()

    async def start_control(self) -> None:
        """A new scaler comes, with the same services awake."""
        self.mesh = self._new_mesh()
        self.mesh.configure(self.catalog, self.inside)
        for name, actor in self.director.actors.items():
            actor.pending.clear()
            if actor.state == "ready":
                self.mesh.publish(self.director.replica(name), name, actor.endpoints)
        await self.serve()

    async def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill_envoy()
        await self.director.close()
        await self.mesh.close()
        if self._admin is not None:
            await self._admin.cleanup()
        self._check.close()
        self._ads.close()

    async def envoy_admin(self, path: str, admin: Path | None = None) -> str:
        connector = aiohttp.UnixConnector(str(admin or self.layout.envoy_admin_socket))
        async with aiohttp.ClientSession(connector=connector) as session, session.get(f"http://envoy{path}") as answer:
            return await answer.text()

    async def seen(self, endpoint: str, *, there: bool = True) -> None:
        """Wait until Envoy's own list has (or has no longer) the endpoint among those of a lazy cluster."""
        async with asyncio.timeout(5):
            while True:
                if (f"::{endpoint}::" in await self.envoy_admin("/clusters?filter=^[^_]*$")) is there:
                    return
                await asyncio.sleep(0.005)

    async def _ready(self) -> None:
        """Envoy serves and has every lazy cluster's endpoints."""
        async with asyncio.timeout(READY_WITHIN):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    if (await self.envoy_admin("/ready")).strip() == "LIVE":
                        return
                assert self._process is not None
                assert self._process.poll() is None, self.log()
                await asyncio.sleep(0.02)

    async def _serve_admin(self) -> None:
        async def answer(request: web.Request) -> web.Response:
            service = request.headers.get("x-lazy-service")
            self.hub_saw.append((request.path_qs, service))
            view = self.director.view(service or request.path.rpartition("/")[2])
            return web.json_response(state_of(view) if view else {"services": {}})

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        self._admin = web.AppRunner(app, access_log=None)
        await self._admin.setup()
        await web.UnixSite(self._admin, str(self.layout.admin_socket)).start()

    def _new_mesh(self) -> EnvoyMesh:
        mesh = EnvoyMesh(
            self.layout,
            self.edge,
            self.director,
            self._gateway,
            concurrency=2,
            tls=self._tls,
            inner_edge=self.inner_edge,
        )
        self.director.mesh = mesh
        return mesh

    def _gateway(self, connected: bool) -> None:
        (self.connected.set if connected else self.connected.clear)()


@contextlib.asynccontextmanager
async def rig(*services: Service, tls: tuple[str, str] | None = None) -> AsyncIterator[Rig]:
    # A short path: the sockets lie in it.
    folder = Path(tempfile.mkdtemp(prefix="mesh-"))
    made = Rig(folder, list(services), tls=tls)
    try:
        await made.start()
        yield made
    finally:
        await made.close()
        shutil.rmtree(folder)


def start_gateway(bootstrap: Path, log: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [envoy_binary(), "-c", str(bootstrap), "--disable-hot-restart", "--drain-strategy", "immediate"]
    command += ["--concurrency", "2", "-l", "warn", "--log-path", str(log), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _listen(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(4096)
    sock.setblocking(False)
    return sock


async def eventually(done: Callable[[], object], limit: float = 10.0) -> None:
    """For what nobody announces: what Envoy or a load generator has come to."""
    async with asyncio.timeout(limit):
        while True:
            if done():
                return
            await asyncio.sleep(0.002)


# -- an upstream that says what it saw -------------------------------------------------------------------------------


class Echo:
    """A server in this process. `seen`: method and path of every request, in order."""

    def __init__(self) -> None:
        self.port = free_port()
        self.seen: list[tuple[str, str]] = []
        self.arrived = asyncio.Event()
        """Set by the first request."""
        self.connections: set[object] = set()
        self.go = asyncio.Event()
        """Until it is set, `/wait` does not answer."""
        self._runner: web.AppRunner | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 31)
        app.router.add_get("/ws", self._ws)
        app.router.add_get("/sse", self._sse)
        app.router.add_get("/wait", self._wait)
        app.router.add_get("/moved", self._moved)
        app.router.add_post("/upload", self._upload)
        app.router.add_route("*", "/{tail:.*}", self._plain)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024).start()

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _note(self, request: web.Request) -> None:
        self.seen.append((request.method, request.path_qs))
        self.connections.add(request.transport)
        self.arrived.set()

    async def _plain(self, request: web.Request) -> web.Response:
        self._note(request)
        body = {
            "method": request.method,
            "path": request.path_qs,
            "raw": request.raw_path,
            "headers": {key.lower(): value for key, value in request.headers.items()},
            "length": len(await request.read()),
        }
        return web.json_response(body)

    async def _moved(self, request: web.Request) -> web.Response:
        """Answers with the headers that its query asks for."""
        self._note(request)
        response = web.Response(status=302 if "location" in request.query else 200)
        for key, value in request.query.items():
            response.headers.add(key, value)
        return response

    async def _wait(self, request: web.Request) -> web.Response:
        self._note(request)
        await self.go.wait()
        return web.Response(text="waited")

    async def _upload(self, request: web.Request) -> web.Response:
        self._note(request)
        length = 0
        async for chunk in request.content.iter_any():
            length += len(chunk)
        return web.json_response({"length": length, "headers": dict(request.headers)})

    async def _sse(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number in itertools.count():
            await response.write(f"data: {number}\n\n".encode())
            if number == 1:
                await self.go.wait()
            if number == 3:
                break
        return response

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        self._note(request)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(f"echo {message.data}")
        return ws


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def body_of(text: str) -> dict[str, object]:
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


__all__ = ["Actor", "DemandKind", "Director", "Echo", "Rig", "body_of", "echo", "eventually", "rig"]
