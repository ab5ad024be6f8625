"""`aihub up --consul`: a whole hub beside a real Consul, seen from both sides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.catalogue import Rests, Workshop
from tests.support.consul import Agent
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub, start_hub, workshop
from tests.support.ports import free_port

__all__ = ["start_hub", "workshop"]
pytestmark = [pytest.mark.envoy, pytest.mark.process]


@pytest.fixture(autouse=True)
def named(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hubs are told of the Consul that the test has."""
    if "agent" in request.fixturenames:
        monkeypatch.setenv("AIHUB_CONSUL", request.getfixturevalue("agent").url)


async def test_a_service_stands_in_consul_while_it_is_awake_under_the_gateways_address(
    agent: Agent, workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"web": workshop.upstream("web", "asyncio", rests=Rests(idle=1.0, rest="stopped"))})
    assert await agent.instances("web") == []
    await _asked(hub, "/api/web/")
    [instance] = await _until(lambda: agent.instances("web"))
    assert instance["Port"] == hub.port
    assert instance["Meta"]["aihub-path"] == "/api/web"
    await hub.asleep("web")
    await _until_none(lambda: agent.instances("web"))


async def test_a_service_of_another_host_is_served_and_gone_when_it_is_critical(
    agent: Agent, workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"web": workshop.upstream("web", "asyncio")})
    server = await asyncio.start_server(_answer, "127.0.0.1", free_port())
    port = server.sockets[0].getsockname()[1]
    name = await agent.register("far", port, tags=["aihub"])
    await _until_served(hub, "/api/far/", 200)
    await agent.fail(name)
    await _until_served(hub, "/api/far/", 404)
    server.close()


async def test_a_consul_that_is_not_there_hinders_nothing_and_doctor_tells_of_it(
    workshop: Workshop, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIHUB_CONSUL", f"http://127.0.0.1:{free_port()}")
    hub = start_hub({"web": workshop.upstream("web", "asyncio")})
    await _asked(hub, "/api/web/")
    checks = json.loads(hub.cli("doctor", "--json").stdout)["checks"]
    assert [check["ok"] for check in checks if check["name"] == "consul"] == [False]


async def _asked(hub: Hub, path: str) -> None:
    status, _, _ = await asyncio.to_thread(hub.ask, path)
    assert status == 200


async def _until_served(hub: Hub, path: str, wanted: int) -> None:
    async with asyncio.timeout(2.0):
        while (await asyncio.to_thread(hub.ask, path))[0] != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _until(ask: Callable[[], Awaitable[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    async with asyncio.timeout(5.0):
        while not (found := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def _until_none(ask: Callable[[], Awaitable[list[dict[str, Any]]]]) -> None:
    async with asyncio.timeout(5.0):
        while await ask():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
    await writer.drain()
    writer.close()
