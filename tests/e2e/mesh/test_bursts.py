"""Many at once, and much at once: small servers are not overrun, and Envoy's memory stays where it is."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.mesh.conftest import NAME
from tests.support.envoy import Echo, Rig
from tests.support.ports import free_port

pytestmark = pytest.mark.envoy
MEGABYTE = 1_000_000


def resident(pid: int) -> int:
    """Bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


class Peak:
    """The largest resident size of a process while the block runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.bytes = resident(pid)

    async def __aenter__(self) -> Peak:
        self._task = asyncio.ensure_future(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self.bytes = max(self.bytes, resident(self._pid))

    async def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, resident(self._pid))
            await asyncio.sleep(0.02)


class SmallServer:
    """Takes one connection at a time off a backlog of five, and answers the length of the body."""

    def __init__(self) -> None:
        self.port = free_port()
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port, backlog=5)

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        async with self._turn:
            body = await reader.readexactly(length)
            text = hashlib.sha256(body).hexdigest().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 64\r\n\r\n" + text)
        await writer.drain()
        writer.close()


async def test_two_hundred_held_posts_reach_a_server_with_a_backlog_of_five(
    hub: Rig, client: aiohttp.ClientSession, api: str
) -> None:
    server = SmallServer()
    await server.start()
    actor = hub.director.actors[NAME]
    actor.endpoints, actor.wakes_after = {"main": f"127.0.0.1:{server.port}"}, None
    body = b"x" * 200_000
    wanted = hashlib.sha256(body).hexdigest()

    async def post() -> str:
        async with client.post(f"{api}/x", data=body) as answer:
            return f"{answer.status} {await answer.text()}"

    asking = [asyncio.ensure_future(post()) for _ in range(200)]
    await hub.director.held(NAME, 200)
    hub.director.wake(NAME)
    assert set(await asyncio.gather(*asking)) == {f"200 {wanted}"}
    await server.stop()


async def test_three_hundred_held_posts_of_three_megabytes_keep_envoy_small(
    hub: Rig, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.actors[NAME].wakes_after = None
    body = b"x" * (3 * MEGABYTE)

    async def post() -> int:
        async with client.post(f"{api}/upload", data=io.BytesIO(body)) as answer:
            return int((await answer.json())["length"])

    async with Peak(hub.pid) as peak:
        asking = [asyncio.ensure_future(post()) for _ in range(300)]
        await hub.director.held(NAME, 300)
        await asyncio.sleep(0.5)  # the bodies come up to where Envoy stops reading
        hub.director.wake(NAME)
        assert set(await asyncio.gather(*asking)) == {3 * MEGABYTE}
    assert peak.bytes < 250 * MEGABYTE


@pytest.mark.parametrize(
    ("megabytes", "cold"),
    [(200, True), (200, False), pytest.param(1000, True, marks=pytest.mark.slow)],
)
async def test_a_large_upload_takes_no_memory(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str, megabytes: int, cold: bool
) -> None:
    hub.director.actors[NAME].wakes_after = 0.3
    if not cold:
        hub.director.wake(NAME)
        await hub.seen(upstream.endpoint)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            yield b"x" * MEGABYTE

    before = resident(hub.pid)
    timeout = aiohttp.ClientTimeout(total=110)
    async with Peak(hub.pid) as peak, client.post(f"{api}/upload", data=chunks(), timeout=timeout) as answer:
        assert (await answer.json())["length"] == megabytes * MEGABYTE
    assert peak.bytes - before < 20 * MEGABYTE
