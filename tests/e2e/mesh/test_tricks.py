"""Nothing that a client sends chooses a destination, and nothing that it sends is understood in two ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from services.scaler.core.events import DemandKind
from tests.e2e.mesh.conftest import NAME, service
from tests.support.curl import curl
from tests.support.envoy import Actor, Echo, Rig, echo, rig

pytestmark = pytest.mark.envoy


@pytest.fixture
async def secret() -> AsyncIterator[Echo]:
    async with echo() as server:
        yield server


@pytest.fixture
async def hub(upstream: Echo, secret: Echo) -> AsyncIterator[Rig]:
    async with rig(service(), service("other")) as made:
        made.director.actors[NAME] = Actor({"main": upstream.endpoint})
        made.director.actors["other"] = Actor({"main": secret.endpoint})
        yield made


async def raw(hub: Rig, request: bytes) -> bytes:
    """Everything Envoy says to these bytes until it closes or is silent for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.edge.port)
    writer.write(request)
    said = b""
    try:
        async with asyncio.timeout(0.2):
            while more := await reader.read(65536):
                said += more
    except TimeoutError:
        pass
    writer.close()
    return said


@pytest.mark.parametrize("cold", [True, False])
async def test_headers_of_the_gate_are_taken_from_clients(
    hub: Rig, upstream: Echo, secret: Echo, client: aiohttp.ClientSession, api: str, cold: bool
) -> None:
    if not cold:
        hub.director.wake(NAME)
    tricks = {
        "X-Envoy-Original-Dst-Host": secret.endpoint,
        "X-Lazy-Service": "other",
        "x-envoy-original-path": "/elsewhere",
        "X-Envoy-Internal": "true",
    }
    async with client.get(f"{api}/x", headers=tricks) as answer:
        assert answer.status == 200
        headers = (await answer.json())["headers"]
    assert secret.seen == []
    assert hub.director.actors["other"].asked == []
    if cold:
        assert headers["x-envoy-original-dst-host"] == upstream.endpoint
    assert "x-envoy-original-path" not in headers
    assert "x-envoy-internal" not in headers


@pytest.mark.parametrize("cold", [True, False])
async def test_orders_to_envoy_in_headers_mean_nothing(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str, cold: bool
) -> None:
    if not cold:
        hub.director.wake(NAME)
    orders = {
        "X-Envoy-Upstream-Rq-Timeout-Ms": "1",
        "X-Envoy-Expected-Rq-Timeout-Ms": "1",
        "X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms": "1",
        "X-Envoy-Retry-On": "5xx,retriable-4xx,gateway-error",
        "X-Envoy-Max-Retries": "5",
        "X-Envoy-Upstream-Alt-Stat-Name": "mine",
    }
    asking = asyncio.ensure_future(client.get(f"{api}/wait", headers=orders))
    await upstream.arrived.wait()
    await asyncio.sleep(0.05)  # fifty times what the orders ask for
    upstream.go.set()
    assert (await asking).status == 200
    assert len(upstream.seen) == 1


async def test_a_forwarded_prefix_is_ours_to_say(hub: Rig, client: aiohttp.ClientSession) -> None:
    own = f"http://127.0.0.1:{hub.catalog.services[NAME].publishes[0].number}/x"
    hosted = {"Host": f"{NAME}.localhost", "X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil"}
    for url in (own, f"{hub.base}/x"):
        async with client.get(url, headers=hosted) as answer:
            headers = (await answer.json())["headers"]
        assert "x-forwarded-prefix" not in headers
        assert headers["x-forwarded-host"] == f"{NAME}.localhost"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/api/echo/../other/x", "/x"),
        ("/api/echo/%2e%2e/other/x", "/x"),
        ("/api//other///x", "/x"),
        ("/api/echo/./../other/x", "/x"),
    ],
)
async def test_a_path_is_made_plain_before_anything_looks_at_it(
    hub: Rig, upstream: Echo, secret: Echo, path: str, seen: str
) -> None:
    answer = await curl(f"{hub.base}{path}")
    assert answer.json["path"] == seen
    assert upstream.seen == []
    assert [path for _, path in secret.seen] == [seen]


@pytest.mark.parametrize("path", ["/api/echo/..%2fother/x", "/api/echo%2fx", "/api/echo/a%5cb", "/api/echo\\..\\other"])
async def test_hidden_slashes_are_refused(hub: Rig, upstream: Echo, secret: Echo, path: str) -> None:
    answer = await curl(f"{hub.base}{path}")
    if "\\" in path:  # a plain backslash is a slash to browsers, and to Envoy
        assert answer.status in (200, 400, 404)
    else:
        assert answer.status == 400
    assert upstream.seen == []


@pytest.mark.parametrize("cold", [True, False])
async def test_a_request_of_two_lengths_is_refused(hub: Rig, upstream: Echo, secret: Echo, cold: bool) -> None:
    if not cold:
        hub.director.wake(NAME)
    inner = b"GET /api/other/stolen HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /api/echo/x HTTP/1.1\r\nHost: localhost\r\n"
    for lengths in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
        b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello" + inner,
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + inner,
        b"Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\nhello" + inner,
        b"Content-Length: +5\r\n\r\nhello" + inner,
    ):
        said = await raw(hub, head + lengths)
        assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), (lengths, said)
        assert said.count(b"HTTP/1.1") == 1, (lengths, said)
    assert upstream.seen == secret.seen == []


async def test_two_hosts_are_refused(hub: Rig, upstream: Echo) -> None:
    said = await raw(hub, b"GET /api/echo/x HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 421")), said
    assert upstream.seen == []


async def test_an_absolute_target_is_judged_by_its_host(hub: Rig, upstream: Echo) -> None:
    said = await raw(hub, b"GET http://evil.example/api/echo/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 421"), said
    assert upstream.seen == []


async def test_connect_goes_nowhere(hub: Rig, upstream: Echo, secret: Echo) -> None:
    said = await raw(hub, f"CONNECT {secret.endpoint} HTTP/1.1\r\nHost: {secret.endpoint}\r\n\r\n".encode())
    assert not said.startswith(b"HTTP/1.1 2"), said
    assert upstream.seen == secret.seen == []


async def test_a_header_with_an_underscore_is_dropped(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    """Programs behind CGI or WSGI cannot tell it from the one with a dash."""
    async with client.get(f"{api}/x", headers={"X_Forwarded_For": "8.8.8.8", "X_Lazy_Service": "other"}) as answer:
        headers = (await answer.json())["headers"]
    assert not [name for name in headers if "_" in name]


async def test_very_long_paths_and_headers_still_wake(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    async with client.get(f"{api}/{'x' * 20000}") as answer:
        assert answer.status in (200, 400), await answer.text()  # 400: of the small server behind
        assert hub.director.actors[NAME].wakes == 1


async def test_pages_of_other_sites_wake_nothing(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Origin": "https://evil.example"}
    for method in ("GET", "POST", "OPTIONS"):
        async with client.request(method, f"{api}/x", headers=foreign) as answer:
            assert answer.status == 403
            assert (await answer.json())["error"]["code"] == "cross-site"
    assert hub.director.actors[NAME].asked == []


async def test_who_follows_a_link_is_asked_first(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    async with client.get(f"{api}/x?y", headers=followed) as answer:
        assert answer.status == 403
        assert answer.content_type == "text/html"
        assert '<a class="button" href="">' in await answer.text()
    assert hub.director.actors[NAME].asked == []
    clicked = {**followed, "Sec-Fetch-Site": "same-origin"}
    async with client.get(f"{api}/x?y", headers=clicked) as answer:
        assert answer.status == 200
    assert hub.director.actors[NAME].asked[0].kind is DemandKind.PAGE


async def test_a_slow_sender_holds_nobody_else_up(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    writers = []
    for _ in range(100):
        _, writer = await asyncio.open_connection("127.0.0.1", hub.edge.port)
        writer.write(b"POST /api/echo/upload HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        writers.append(writer)
    begun = time.monotonic()
    async with client.get(f"{api}/x") as answer:
        assert answer.status == 200
    assert time.monotonic() - begun < 2
    for writer in writers:
        writer.close()
