"""What answers at Consul's address need not be Consul, and a Consul need not answer."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from services.scaler.registry.client import Away, Client, asked
from services.scaler.registry.consul_registry import ConsulRegistry
from services.scaler.registry.desired import ConsulAt, Here
from services.scaler.registry.standing import Standing
from tests.e2e.registry.conftest import CHROMA, within
from tests.support.ports import free_port

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def page(request: web.Request) -> web.Response:
    return web.Response(text="<html>welcome", content_type="text/html")


async def other_json(request: web.Request) -> web.Response:
    return web.json_response(["not", "Consul"], headers={"X-Consul-Index": "nine"})


async def fault(request: web.Request) -> web.Response:
    return web.Response(status=500, text="No cluster leader")


async def silence(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("handler", [page, other_json, fault])
async def test_a_hub_goes_on_whatever_answers(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    awake = Standing(CHROMA, "ready", "", ("chroma-1",))
    async with serving(handler) as url:
        registry = ConsulRegistry(ConsulAt(url), Here("box"), lambda: (awake,), lambda _: None)
        task = asyncio.get_running_loop().create_task(registry.run())

        async def told() -> bool:
            return url in registry.trouble

        await within(2, told)
        await asyncio.sleep(0.5)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task], timeout=4)
    assert task.cancelled()
    assert not [one for one in caplog.records if one.exc_info]


async def test_a_consul_that_says_nothing_holds_up_nobody() -> None:
    async with serving(silence) as url:
        registry = ConsulRegistry(ConsulAt(url), Here("box"), lambda: (), lambda _: None)
        loop = asyncio.get_running_loop()
        task = loop.create_task(registry.run())
        longest, end = 0.0, loop.time() + 1.0
        while (before := loop.time()) < end:
            registry.changed()
            await asyncio.sleep(0.01)
            longest = max(longest, loop.time() - before)
        assert longest < 0.2
        begun = loop.time()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert loop.time() - begun < 4


async def test_the_token_is_the_hubs_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.headers.get("X-Consul-Token"))
        return web.json_response({})

    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "of-somebody-else")
    async with serving(note) as url:
        for token in ("ours", ""):
            client = Client(ConsulAt(url, token))
            await asked(client.agent.services())
            await client.transact([{"Verb": "delete", "Key": "x"}])
            await client.close()
    assert seen == ["ours", "ours", None, None]


async def test_many_keys_go_in_few_transactions() -> None:
    sizes: list[int] = []

    async def note(request: web.Request) -> web.Response:
        sizes.append(len(await request.json()))
        return web.json_response({})

    async with serving(note) as url:
        client = Client(ConsulAt(url))
        await client.transact([{"Verb": "delete", "Key": str(number)} for number in range(150)])
        await client.close()
    assert sizes == [64, 64, 22]


async def test_a_call_that_finds_nobody_says_so() -> None:
    client = Client(ConsulAt(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(Away, match=r"127\.0\.0\.1"):
        await asked(client.agent.services())
    await client.close()


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://127.0.0.1:8500", ("http", "127.0.0.1", 8500)),
        ("http://consul/", ("http", "consul", 8500)),
        ("https://consul.example", ("https", "consul.example", 443)),
        ("consul:8501", ("http", "consul", 8501)),
        ("http://[::1]:8500", ("http", "[::1]", 8500)),
    ],
)
def test_an_address_is_read_as_people_write_it(url: str, parts: tuple[str, str, int]) -> None:
    assert ConsulAt(url).parts() == parts


@pytest.mark.parametrize("url", ["", "ftp://consul", "http://", "http://consul:99999", "http://consul/ui"])
def test_an_address_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:8500"):
        ConsulAt(url).parts()


def test_a_hub_without_consul_loads_nothing_of_it() -> None:
    text = "import sys, services.scaler.service_scaler; print(sorted({'consul', 'requests'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", text], text=True).strip() == "[]"
