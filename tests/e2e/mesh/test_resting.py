"""No request meets a program at rest, and nothing in flight is cut: the order of withdrawal, under load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import aiohttp
import pytest

from services.catalog.model import Port, Protocol, Publish
from services.scaler.mesh import resting
from services.scaler.mesh.base import Busy, Superseded
from tests.e2e.mesh.conftest import NAME, service
from tests.support.envoy import Actor, Echo, Rig, echo, eventually, rig
from tests.support.ports import free_port
from tests.support.upstreams import Upstream

pytestmark = pytest.mark.envoy


class Load:
    """Clients that go on asking until told to stop. `wrong`: every answer that was not 200."""

    def __init__(self, url: str, clients: int, body: bytes | None = None) -> None:
        self.served = 0
        self.wrong: list[str] = []
        self._url, self._clients, self._body = url, clients, body
        self._stop = False

    async def __aenter__(self) -> Load:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._tasks = [asyncio.ensure_future(self._ask()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)
        await self._session.close()

    async def _ask(self) -> None:
        while not self._stop:
            try:
                async with self._session.request("POST" if self._body else "GET", self._url, data=self._body) as answer:
                    if answer.status != 200:
                        self.wrong.append(f"{answer.status} {await answer.text()}")
                    await answer.read()
                    self.served += 1
            except aiohttp.ClientError as error:
                self.wrong.append(repr(error))


@contextlib.contextmanager
def program(folder: Path, kind: str, *arguments: str) -> Iterator[tuple[Popen[bytes], str]]:
    """A server in a session of its own → the process, its address."""
    port = free_port()
    command = Upstream(kind, folder / f"{kind}.events", arguments).command(str(port))
    process = Popen(command, start_new_session=True)
    try:
        _wait_for(port)
        yield process, f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
            return
        assert time.monotonic() < end
        time.sleep(0.01)


async def test_a_program_is_frozen_thirty_times_under_load_and_nobody_notices(tmp_path: Path) -> None:
    with program(tmp_path, "asyncio") as (process, endpoint):
        async with rig(service()) as hub:
            hub.director.actors[NAME] = Actor({"main": endpoint}, wakes_after=None)
            hub.director.wake(NAME)
            url = f"{hub.base}/api/{NAME}/echo-sha"
            async with Load(url, 8, b"x" * 20000) as load:
                for _ in range(30):
                    await hub.director.rest(NAME)
                    os.kill(process.pid, signal.SIGSTOP)
                    await hub.director.held(NAME, 8)
                    assert not await hub.mesh.moved(hub.director.replica(NAME))
                    os.kill(process.pid, signal.SIGCONT)
                    hub.director.wake(NAME)
                    served = load.served
                    await eventually(lambda start=served: load.served >= start + 20)
            assert load.wrong == []
            assert load.served > 600


async def test_connections_of_a_program_frozen_beyond_its_keep_alive_are_not_used_again(tmp_path: Path) -> None:
    """On the thaw the program's timers close what was open before: neither pool may still have such a connection."""
    with program(tmp_path, "asyncio", "--keep-alive", "0.4") as (process, endpoint):
        async with rig(service()) as hub:
            hub.director.actors[NAME] = Actor({"main": endpoint}, wakes_after=None)
            url = f"{hub.base}/api/{NAME}/echo-sha"
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

                async def post() -> int:
                    async with session.post(url, data=b"x" * 1000) as answer:
                        await answer.read()
                        return answer.status

                for _ in range(4):
                    asking = [asyncio.ensure_future(post()) for _ in range(20)]
                    await hub.director.held(NAME, 20)
                    os.kill(process.pid, signal.SIGCONT)
                    hub.director.wake(NAME)
                    assert await asyncio.gather(*asking) == [200] * 20
                    assert await asyncio.gather(*(post() for _ in range(20))) == [200] * 20
                    await hub.director.rest(NAME)
                    os.kill(process.pid, signal.SIGSTOP)
                    await asyncio.sleep(0.5)


@pytest.mark.parametrize("cold", [True, False])
@pytest.mark.parametrize("kind", ["sse", "websocket", "slow", "upload"])
async def test_whatever_is_in_flight_keeps_it_from_resting(
    hub: Rig,
    upstream: Echo,
    client: aiohttp.ClientSession,
    api: str,
    kind: str,
    cold: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not cold:
        hub.director.wake(NAME)
        await hub.seen(upstream.endpoint)
    going = InFlight(client, api, upstream)
    await going.begin(kind)
    flow = (await hub.mesh.flows() or {})[NAME]
    assert flow.active == 1
    monkeypatch.setattr(resting, "_QUIET_LIMIT", 0.4)
    with pytest.raises(Busy, match="1 requests in flight"):
        await hub.mesh.drain(hub.director.replica(NAME))
    hub.mesh.publish(hub.director.replica(NAME), NAME, hub.director.actors[NAME].endpoints)
    await going.end()
    await hub.director.rest(NAME)


@pytest.mark.slow
async def test_a_stream_through_the_gate_is_still_counted_after_its_cleanup_time(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    going = InFlight(client, api, upstream)
    await going.begin("websocket")
    await asyncio.sleep(25)  # the gate's clusters look every 10 s
    with pytest.raises(Busy, match="1 requests in flight"):
        await hub.mesh.drain(hub.director.replica(NAME))
    await going.end()


class InFlight:
    """One long request of each kind."""

    def __init__(self, client: aiohttp.ClientSession, api: str, upstream: Echo) -> None:
        self._client, self._api, self._upstream = client, api, upstream
        self._more = asyncio.Event()

    async def begin(self, kind: str) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._kind = kind
        if kind == "sse":
            self._answer = await self._stack.enter_async_context(self._client.get(f"{self._api}/sse"))
            await self._answer.content.readuntil(b"\n\n")
        elif kind == "websocket":
            self._ws = await self._stack.enter_async_context(self._client.ws_connect(f"{self._api}/ws"))
        else:
            request = (
                self._client.get(f"{self._api}/wait")
                if kind == "slow"
                else self._client.post(f"{self._api}/upload", data=self._body())
            )

            async def ask() -> int:
                async with request as answer:
                    await answer.read()
                    return answer.status

            self._asking = asyncio.ensure_future(ask())
        await self._upstream.arrived.wait()

    async def end(self) -> None:
        self._upstream.go.set()
        self._more.set()
        async with self._stack:
            if self._kind == "sse":
                assert (await self._answer.read()).endswith(b"data: 3\n\n")
            elif self._kind == "websocket":
                await self._ws.send_str("late")
                assert await self._ws.receive_str(timeout=5) == "echo late"
            else:
                assert await self._asking == 200

    async def _body(self) -> AsyncIterator[bytes]:
        yield b"x"
        await self._more.wait()
        yield b"y"


async def test_new_requests_wait_while_it_drains_and_are_served_by_it_if_it_stays(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.wake(NAME)
    await hub.seen(upstream.endpoint)
    slow = asyncio.ensure_future(client.get(f"{api}/wait"))
    await upstream.arrived.wait()
    hub.director.actors[NAME].state, hub.director.actors[NAME].wakes_after = "draining", None
    draining = asyncio.ensure_future(hub.mesh.drain(hub.director.replica(NAME)))
    await asyncio.sleep(0.1)
    fresh = asyncio.ensure_future(client.get(f"{api}/x"))
    await hub.director.held(NAME, 1)
    hub.director.wake(NAME)
    assert (await fresh).status == 200
    with pytest.raises(Superseded):
        await draining
    upstream.go.set()
    assert (await slow).status == 200


async def test_what_waits_for_its_slice_counts_as_pending(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.actors[NAME].wakes_after = None
    asking = [asyncio.ensure_future(client.get(f"{api}/x")) for _ in range(200)]
    await hub.director.held(NAME, 200)
    hub.director.wake(NAME)
    await hub.mesh.drain(hub.director.replica(NAME))
    assert len(upstream.seen) == 200
    assert {(await task).status for task in asking} == {200}


async def test_a_request_after_the_drain_is_told_as_movement(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.wake(NAME)
    replica = hub.director.replica(NAME)
    await hub.mesh.drain(replica)
    async with client.get(f"{api}/x") as answer:  # the Director still holds it for ready, and lets it go on
        assert answer.status == 200
    assert await hub.mesh.withdraw(replica)
    assert await hub.mesh.moved(replica)


async def test_without_a_gateway_nothing_is_vouched_for(hub: Rig) -> None:
    hub.director.wake(NAME)
    replica = hub.director.replica(NAME)
    hub.kill_envoy()
    await eventually(lambda: not hub.connected.is_set())
    with pytest.raises(Busy, match="no gateway"):
        await hub.mesh.drain(replica)
    assert await hub.mesh.flows() is None
    assert await hub.mesh.moved(replica)


async def test_one_of_two_replicas_rests_and_the_other_takes_everything(hub: Rig, upstream: Echo, api: str) -> None:
    hub.director.wake(NAME)
    async with echo() as second:
        hub.mesh.publish("echo-99", NAME, {"main": second.endpoint})
        await hub.seen(second.endpoint)
        async with Load(f"{api}/x", 8) as load:
            for _ in range(10):
                await hub.mesh.drain("echo-99")
                assert not await hub.mesh.withdraw("echo-99")
                assert not await hub.mesh.moved("echo-99")
                before = len(second.seen)
                await asyncio.sleep(0.02)
                assert len(second.seen) == before
                hub.mesh.publish("echo-99", NAME, {"main": second.endpoint})
                await hub.seen(second.endpoint)
        assert load.wrong == []
        assert second.seen
        assert hub.director.actors[NAME].asked == [], "the gate is for the cold"


async def test_one_of_two_dies_and_every_request_is_served(hub: Rig, upstream: Echo, api: str) -> None:
    hub.director.wake(NAME)
    second = Echo()
    await second.start()
    hub.mesh.publish("echo-99", NAME, {"main": second.endpoint})
    await hub.seen(second.endpoint)
    async with Load(f"{api}/x", 8) as load:
        await eventually(lambda: len(second.seen) >= 50)
        await second.stop()
        served = load.served
        await eventually(lambda start=served: load.served >= start + 200)
    # What was inside the dying one may break off; nothing after it.
    assert len(load.wrong) <= 8, load.wrong


async def test_plain_tcp_goes_through_and_is_counted_by_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await reader.read()
        writer.close()

    monkeypatch.setattr(resting, "_QUIET_LIMIT", 0.3)
    ports = (Port("main", 1), Port("db", 2, Protocol.TCP))
    own = Publish("db", "127.0.0.1", free_port())
    async with rig(replace(service(), ports=ports, publishes=(own,))) as hub:
        listening = await asyncio.start_server(talk, "127.0.0.1", free_port())
        host, port = listening.sockets[0].getsockname()
        endpoints = {"db": f"{host}:{port}"}
        hub.mesh.publish("echo-1", NAME, endpoints)
        await hub.seen(f"{host}:{port}")
        reader, writer = await asyncio.open_connection(own.host, own.number)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        with pytest.raises(Busy):
            await hub.mesh.drain("echo-1")
        hub.mesh.publish("echo-1", NAME, endpoints)
        writer.close()
        await writer.wait_closed()
        await hub.mesh.drain("echo-1")
        assert not await hub.mesh.withdraw("echo-1")
        listening.close()
