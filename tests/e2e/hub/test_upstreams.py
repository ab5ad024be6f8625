"""The upstreams keep their word without a hub, and the clients see a lie: so a fault of other tests is the hub's."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.support.clients import Client, Verdict, client, together
from tests.support.ports import free_port
from tests.support.upstreams import KINDS, WITHOUT_WEBSOCKET, Upstream

pytestmark = pytest.mark.process


class Direct(Client):
    """Speaks to the one program behind its base address, whatever service is named."""

    def url(self, service: str, path: str) -> str:
        return self._base + path


@contextmanager
def program(upstream: Upstream) -> Iterator[int]:
    port = free_port()
    running = subprocess.Popen(upstream.command(str(port)))
    try:
        yield port
    finally:
        running.kill()
        running.wait()


@asynccontextmanager
async def direct(port: int) -> AsyncIterator[Direct]:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.02)
    writer.close()
    async with client(f"http://127.0.0.1:{port}", patience=10) as caller:
        yield Direct(caller._session, caller._base, 10)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_upstream_answers_each_common_path(tmp_path: Path, kind: str) -> None:
    upstream = Upstream(kind, tmp_path / "events")
    with program(upstream) as port:
        async with direct(port) as caller:
            calls = [
                caller.get(kind, kind),
                caller.sized(kind, 100_001),
                caller.slow(kind, 0.1),
                caller.post(kind, 1_000_000, identifier="whole"),
                caller.post(kind, 300_000, identifier="chunked", chunked=True),
                caller.stream(kind, 10, 0.01),
            ]
            if kind not in WITHOUT_WEBSOCKET:
                calls.append(caller.socket(kind, 30, 0.0))
            (await together(calls)).demand_all_served()
    assert upstream.starts == 1
    assert sorted(upstream.posts) == ["chunked", "whole"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_upstream_closes_a_connection_that_is_idle_for_two_seconds(tmp_path: Path, kind: str) -> None:
    with program(Upstream(kind, tmp_path / "events")) as port:
        async with direct(port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.read(65536)).startswith(b"HTTP/1.1 200")
            async with asyncio.timeout(5):
                while await reader.read(65536):
                    pass
            writer.close()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nlie", Verdict.WRONG),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nhello", Verdict.CUT),
        (b"HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno", Verdict.BAD_GATEWAY),
        (b"HTTP/1.1 503 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", Verdict.REFUSED),
        (b"", Verdict.CLOSED),
    ],
    ids=["another text", "half an answer", "a bare 503", "a reasoned 503", "no answer"],
)
async def test_a_client_tells_how_an_answer_failed(answer: bytes, verdict: Verdict) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(lie, "127.0.0.1", 0)
    async with server, client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", patience=5) as caller:
        assert (await caller.get("any", "go")).verdict is verdict
