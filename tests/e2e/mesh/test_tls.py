"""TLS at the edge when there is a certificate; websocket over HTTP/2 through it and without it."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator

import aiohttp
import h2.config
import h2.connection
import h2.events
import pytest

from tests.e2e.mesh.conftest import NAME, service
from tests.support.curl import curl
from tests.support.envoy import Actor, Echo, Rig, rig

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    files = str(folder / "cert.pem"), str(folder / "key.pem")
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*make, "-out", files[0], "-keyout", files[1], "-days", "2", *name], check=True, capture_output=True)
    return files


@pytest.fixture
async def secure(upstream: Echo, certificate: tuple[str, str]) -> AsyncIterator[Rig]:
    async with rig(service(), service("web", web=True), tls=certificate) as made:
        made.director.actors[NAME] = Actor({"main": upstream.endpoint})
        yield made


@pytest.mark.parametrize(("asked", "spoken"), [("--http2", "HTTP/2"), ("--http1.1", "HTTP/1.1")])
async def test_both_protocols_are_offered(secure: Rig, certificate: tuple[str, str], asked: str, spoken: str) -> None:
    answer = await curl(asked, "--cacert", certificate[0], f"https://localhost:{secure.edge.port}/api/{NAME}/x")
    assert (answer.version, answer.status) == (spoken, 200)
    assert answer.json["headers"]["x-forwarded-proto"] == "https"


async def test_locations_and_redirects_keep_the_scheme(secure: Rig, client: aiohttp.ClientSession) -> None:
    here = f"https://127.0.0.1:{secure.edge.port}"
    async with client.get(
        f"{here}/api/{NAME}/moved", params={"location": f"{here}/x"}, allow_redirects=False, ssl=False
    ) as answer:
        assert answer.headers["location"] == f"{here}/api/{NAME}/x"
    page = {"Sec-Fetch-Mode": "navigate"}
    async with client.get(f"{here}/api/web/x", headers=page, allow_redirects=False, ssl=False) as answer:
        assert answer.headers["location"] == f"https://web.localhost:{secure.edge.port}/x"


@pytest.mark.parametrize("cold", [True, False])
async def test_a_websocket_over_http2(secure: Rig, upstream: Echo, certificate: tuple[str, str], cold: bool) -> None:
    if not cold:
        secure.director.wake(NAME)
        await secure.seen(upstream.endpoint)
    context = ssl.create_default_context(cafile=certificate[0])
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("localhost", secure.edge.port, ssl=context)
    tunnel = Tunnel(reader, writer, f"localhost:{secure.edge.port}", f"/api/{NAME}/ws")
    async with asyncio.timeout(10):
        assert await tunnel.open() == "200"
        # One masked text frame, the mask all zeros.
        await tunnel.send(b"\x81\x83\x00\x00\x00\x00abc")
        assert await tunnel.receive(10) == b"\x81\x08echo abc"
    writer.close()


class Tunnel:
    """Extended CONNECT (RFC 8441), just enough of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, path: str) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._authority, self._path = authority, path
        self._data = b""
        self._status = ""

    async def open(self) -> str:
        self._h2.initiate_connection()
        await self._flush()
        while not self._h2.remote_settings.enable_connect_protocol:
            await self._read()
        headers = {
            ":method": "CONNECT",
            ":protocol": "websocket",
            ":scheme": "https",
            ":path": self._path,
            ":authority": self._authority,
            "sec-websocket-version": "13",
        }
        self._h2.send_headers(1, list(headers.items()))
        await self._flush()
        while not self._status:
            await self._read()
        return self._status

    async def send(self, data: bytes) -> None:
        self._h2.send_data(1, data)
        await self._flush()

    async def receive(self, length: int) -> bytes:
        while len(self._data) < length:
            await self._read()
        return self._data

    async def _read(self) -> None:
        data = await self._reader.read(65536)
        assert data, "the connection ended"
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self._status = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.DataReceived):
                self._data += event.data
        await self._flush()

    async def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
        await self._writer.drain()
