"""A sleeping service answers its first request, whatever speaks to it; awake, nobody stands in the way."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.e2e.mesh.conftest import NAME
from tests.support.curl import curl
from tests.support.envoy import Echo, Rig
from tests.support.ports import free_port

pytestmark = pytest.mark.envoy
MEGABYTE = 1_000_000


async def test_the_first_request_is_held_and_answered_and_the_next_goes_straight(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.actors[NAME].wakes_after = 0.1
    async with client.get(f"{api}/first?a=1") as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["path"] == "/first?a=1"
    await hub.seen(upstream.endpoint)
    async with client.get(f"{api}/second") as answer:
        assert answer.status == 200
    assert [path for _, path in upstream.seen] == ["/first?a=1", "/second"]
    assert len(hub.director.actors[NAME].asked) == 1
    assert hub.director.actors[NAME].wakes == 1


async def test_fifty_at_once_wake_it_once(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    hub.director.actors[NAME].wakes_after = None

    async def ask(number: int) -> int:
        async with client.post(f"{api}/{number}", data=b"x" * number) as answer:
            body = await answer.json()
            assert body["length"] == number
            assert body["path"] == f"/{number}"
            return answer.status

    asking = [asyncio.ensure_future(ask(number)) for number in range(50)]
    await hub.director.held(NAME, 50)
    hub.director.wake(NAME)
    assert await asyncio.gather(*asking) == [200] * 50


async def test_who_is_sent_to_an_address_that_has_just_been_left_is_asked_about_again(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    actor = hub.director.actors[NAME]
    right, actor.endpoints, actor.state = actor.endpoints, {"main": f"127.0.0.1:{free_port()}"}, "ready"
    asking = asyncio.ensure_future(client.post(f"{api}/late", data=b"x" * 1000))
    async with hub.director.changed:
        await hub.director.changed.wait_for(lambda: len(actor.asked) == 2)
    actor.endpoints = right
    async with await asking as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["length"] == 1000
    assert [path for _, path in upstream.seen] == ["/late"]


async def test_where_nobody_answers_the_caller_is_told_so(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    actor = hub.director.actors[NAME]
    actor.endpoints, actor.state = {"main": f"127.0.0.1:{free_port()}"}, "ready"
    async with client.get(f"{api}/") as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "unreachable"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("begun", [False, True], ids=["unread", "begun"])
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
async def test_what_was_sent_to_one_that_ends_is_not_sent_again_and_the_caller_is_told_why(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str, method: str, begun: bool, cold: bool
) -> None:
    """To Envoy what was begun and what nobody has read are the same."""
    actor, right = hub.director.actors[NAME], {"main": upstream.endpoint}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
        actor.endpoints = {"main": endpoint}
        if not cold:
            hub.director.wake(NAME)
            await hub.seen(endpoint)
        asking = asyncio.ensure_future(client.request(method, f"{api}/once"))
        accepted, _ = await asyncio.to_thread(listener.accept)
        await asyncio.to_thread(accepted.recv, 1000, 0 if begun else socket.MSG_PEEK)
    actor.endpoints = right
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    accepted.close()
    async with await asking as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "broken-off"
    assert upstream.seen == []


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2-prior-knowledge"])
async def test_every_version_of_http_wakes_it(hub: Rig, upstream: Echo, api: str, version: str) -> None:
    hub.director.actors[NAME].wakes_after = 0.05
    for path in ("cold", "warm"):
        answer = await curl(version, f"{api}/{path}")
        assert answer.status == 200, answer.text
        assert answer.json["path"] == f"/{path}"
        await hub.seen(upstream.endpoint)
    assert len(hub.director.actors[NAME].asked) == 1


async def test_a_websocket_wakes_it(hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str) -> None:
    hub.director.actors[NAME].wakes_after = 0.05
    for _ in range(2):
        async with client.ws_connect(f"{api}/ws") as ws:
            for text in ("one", "two"):
                await ws.send_str(text)
                assert await ws.receive_str(timeout=5) == f"echo {text}"
        await hub.seen(upstream.endpoint)
    assert len(hub.director.actors[NAME].asked) == 1


async def test_a_stream_of_events_is_not_kept_back(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    for _ in range(2):
        upstream.go.clear()
        async with client.get(f"{api}/sse") as answer:
            assert answer.status == 200
            await _events(answer, 2)
            upstream.go.set()
            await _events(answer, 2)


async def _events(answer: aiohttp.ClientResponse, count: int) -> None:
    async with asyncio.timeout(5):
        for _ in range(count):
            assert (await answer.content.readuntil(b"\n\n")).startswith(b"data: ")


@pytest.mark.parametrize("cold", [True, False])
async def test_an_upload_in_chunks_arrives_whole(hub: Rig, client: aiohttp.ClientSession, api: str, cold: bool) -> None:
    hub.director.actors[NAME].wakes_after = 0.2
    if not cold:
        hub.director.wake(NAME)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * MEGABYTE

    async with client.post(f"{api}/upload", data=chunks()) as answer:
        assert answer.status == 200
        body = await answer.json()
    assert body["length"] == 20 * MEGABYTE
    assert {key.lower(): value for key, value in body["headers"].items()}["transfer-encoding"] == "chunked"


async def test_a_client_that_leaves_is_taken_off_at_once(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    hub.director.actors[NAME].wakes_after = None
    asking = [asyncio.ensure_future(client.get(f"{api}/{number}")) for number in range(5)]
    await hub.director.held(NAME, 5)
    for task in asking[:3]:
        task.cancel()
    actor = hub.director.actors[NAME]
    await hub.director.until(lambda: len(actor.left) == 3)
    assert len(actor.pending) == 2
    hub.director.wake(NAME)
    assert [(await task).status for task in asking[3:]] == [200, 200]


async def test_the_program_sees_the_request_as_it_was_sent(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    sent = {"Authorization": "Bearer abc", "X-Own": "1", "Cookie": "a=b", "User-Agent": "me"}
    for _ in range(2):  # cold, then warm
        async with client.request("PATCH", f"{api}/p?q=%20x", data=b"body", headers=sent) as answer:
            body = await answer.json()
        headers = body["headers"]
        assert (body["method"], body["path"], body["length"]) == ("PATCH", "/p?q=%20x", 4)
        assert {key: headers[key.lower()] for key in sent} == sent
        assert headers["host"] == f"127.0.0.1:{hub.edge.port}"
        assert headers["x-forwarded-prefix"] == f"/api/{NAME}"
        assert headers["x-forwarded-host"] == headers["host"]
        assert headers["x-forwarded-proto"] == "http"
        ours = {name for name in headers if name.startswith("x-")} - {"x-own"}
        forwarded = {f"x-forwarded-{what}" for what in ("for", "host", "prefix", "proto")}
        assert ours <= {*forwarded, "x-lazy-service", "x-envoy-original-dst-host", "x-envoy-external-address"}
