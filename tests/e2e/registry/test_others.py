"""What others register with a real Consul is learnt within two seconds, and served by a real Envoy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from services.scaler.registry.foreign import ForeignServices
from services.scaler.registry.guests import Guests
from tests.e2e.registry.conftest import CHROMA, TABBY, Hub, MakeHub, within
from tests.support.consul import Agent
from tests.support.envoy import Actor, Echo, Rig, echo, rig

WITHIN = 2.0


async def learns(hub: Hub, **services: tuple[str, ...]) -> None:
    async def learnt() -> bool:
        return hub.foreign == services

    await within(WITHIN, learnt)


async def test_a_service_that_sleeps_here_and_runs_elsewhere_is_learnt_and_forgotten(
    agent: Agent, hubs: MakeHub
) -> None:
    hub = hubs(agent)
    hub.asleep(CHROMA)
    hub.start()
    await within(2, lambda: agent.value("aihub/box/services/chroma"))
    instance = await agent.register("chroma", 9000)
    await learns(hub, chroma=("127.0.0.1:9000",))
    await agent.register("chroma", 9001, name="another")
    await learns(hub, chroma=("127.0.0.1:9000", "127.0.0.1:9001"))
    await agent.fail(instance)
    await learns(hub, chroma=("127.0.0.1:9001",))
    await agent.put(f"/v1/agent/check/warn/service:{instance}")
    await learns(hub, chroma=("127.0.0.1:9000", "127.0.0.1:9001"))
    await agent.put(f"/v1/agent/service/maintenance/{instance}?enable=true")
    await learns(hub, chroma=("127.0.0.1:9001",))
    await agent.deregister("another")
    await learns(hub)


async def test_what_the_catalogue_does_not_have_comes_only_where_it_asks(agent: Agent, hubs: MakeHub) -> None:
    await agent.register("theirs", 9000)
    hub = hubs(agent)
    hub.start()
    await agent.register("shared", 9001, Tags=["aihub"])
    await agent.register("health", 9002, Tags=["aihub"])
    await agent.register("No Name", 9003, Tags=["aihub"])
    await learns(hub, shared=("127.0.0.1:9001",))
    await agent.register("shared", 9001)
    await learns(hub)


async def test_a_service_that_wakes_here_is_no_longer_served_from_elsewhere(agent: Agent, hubs: MakeHub) -> None:
    await agent.register("chroma", 9000)
    hub = hubs(agent)
    hub.asleep(CHROMA)
    hub.start()
    await learns(hub, chroma=("127.0.0.1:9000",))
    hub.awake(CHROMA)
    await learns(hub)
    hub.asleep(CHROMA)
    await learns(hub, chroma=("127.0.0.1:9000",))


async def test_a_name_that_comes_into_the_catalogue_is_looked_for_at_once(agent: Agent, hubs: MakeHub) -> None:
    await agent.register("chroma", 9000)
    hub = hubs(agent)
    hub.asleep(TABBY)
    hub.start()
    await within(2, lambda: agent.value("aihub/box/services/tabby"))
    hub.asleep(CHROMA)
    await learns(hub, chroma=("127.0.0.1:9000",))


async def test_from_another_hub_comes_only_what_cannot_run_here(agent: Agent, hubs: MakeHub) -> None:
    able, unable = hubs(agent, "able"), hubs(agent, "unable")
    able.awake(CHROMA)
    able.awake(TABBY)
    unable.unable(CHROMA)
    unable.unable(TABBY)
    third = hubs(agent, "third")
    third.asleep(TABBY)
    for hub in (able, unable, third):
        hub.start()
    # Chroma has no port of its own there; at that hub's edge nobody would know whom a request is for.
    await learns(unable, tabby=("127.0.0.1:8081",))
    assert able.foreign == third.foreign == {}
    able.asleep(TABBY)
    await learns(unable)


async def test_an_instance_without_an_address_for_the_gateway_is_told_of_once(
    agent: Agent, hubs: MakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub = hubs(agent)
    hub.asleep(CHROMA)
    hub.start()
    await agent.register("chroma", 9000, name="by-name", Address="box.example")
    await agent.register("chroma", 9001)
    await learns(hub, chroma=("127.0.0.1:9001",))
    await agent.deregister("chroma-elsewhere")
    await learns(hub)
    assert len([one for one in caplog.records if "by-name" in one.getMessage()]) == 1


async def test_while_consul_is_away_what_was_learnt_last_holds(agent: Agent, hubs: MakeHub) -> None:
    hub = hubs(agent)
    hub.asleep(CHROMA)
    await agent.register("chroma", 9000)
    hub.start()
    await learns(hub, chroma=("127.0.0.1:9000",))
    agent.stop()

    async def noticed() -> bool:
        return "does not answer" in hub.registry.trouble

    await within(2, noticed)
    await asyncio.sleep(0.5)
    assert hub.foreign == {"chroma": ("127.0.0.1:9000",)}
    hub.awake(CHROMA)
    await learns(hub)


# -- through Envoy -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def elsewhere() -> AsyncIterator[Echo]:
    async with echo() as server:
        yield server


@pytest.fixture
async def local() -> AsyncIterator[Echo]:
    async with echo() as server:
        yield server


@pytest.fixture
async def gateway(local: Echo) -> AsyncIterator[Rig]:
    async with rig(CHROMA) as made:
        made.director.actors["chroma"] = Actor({"main": local.endpoint})
        yield made


def guests_of(gateway: Rig) -> Guests:
    guests = Guests(gateway.mesh, lambda: gateway.mesh.configure(guests.beside(gateway.catalog)))
    gateway.mesh.configure(guests.beside(gateway.catalog))
    return guests


async def status(gateway: Rig, path: str, host: str | None = None) -> int:
    headers = {"Host": host} if host else None
    async with aiohttp.ClientSession() as session, session.get(gateway.base + path, headers=headers) as answer:
        await answer.read()
        return answer.status


async def test_a_request_goes_to_the_host_where_the_service_runs_and_wakes_nothing_here(
    agent: Agent, hubs: MakeHub, gateway: Rig, elsewhere: Echo, local: Echo
) -> None:
    hub, guests = hubs(agent), guests_of(gateway)
    hub.on_news = guests.take
    hub.asleep(CHROMA)
    hub.start()
    instance = await agent.register("chroma", elsewhere.port)
    await learns(hub, chroma=(elsewhere.endpoint,))
    await gateway.seen(elsewhere.endpoint)
    assert await status(gateway, "/api/chroma/things?a=1") == 200
    assert elsewhere.seen == [("GET", "/things?a=1")]
    assert gateway.director.actors["chroma"].wakes == 0
    await agent.fail(instance)
    await learns(hub)
    await gateway.seen(elsewhere.endpoint, there=False)
    assert await status(gateway, "/api/chroma/things") == 200
    assert local.seen == [("GET", "/things")]
    assert gateway.director.actors["chroma"].wakes == 1


async def test_a_stranger_that_asks_is_served_by_path_and_by_host_until_it_leaves(
    agent: Agent, hubs: MakeHub, gateway: Rig, elsewhere: Echo
) -> None:
    hub, guests = hubs(agent), guests_of(gateway)
    hub.on_news = guests.take
    hub.start()
    before = await status(gateway, "/api/shared/x")
    await agent.register("shared", elsewhere.port, Tags=["aihub"])
    begun = asyncio.get_running_loop().time()

    async def served() -> bool:
        return await status(gateway, "/api/shared/x") == 200

    await within(WITHIN, served)
    assert asyncio.get_running_loop().time() - begun < WITHIN
    assert await status(gateway, "/y", f"shared.localhost:{gateway.edge.port}") == 200
    assert elsewhere.seen[-1] == ("GET", "/y")
    await agent.deregister("shared-elsewhere")

    async def left() -> bool:
        return await status(gateway, "/api/shared/x") == before

    await within(WITHIN, left)
    assert before == 404


async def test_a_guest_that_fell_silent_is_answered_for_at_once_and_served_when_it_is_back(
    gateway: Rig, elsewhere: Echo
) -> None:
    guests = guests_of(gateway)
    guests.take(ForeignServices({"shared": (elsewhere.endpoint,)}))

    async def served() -> bool:
        return await status(gateway, "/api/shared/x") == 200

    await within(WITHIN, served)
    await elsewhere.stop()
    async with asyncio.timeout(5):
        assert await status(gateway, "/api/shared/x") in (404, 502, 503)
    await elsewhere.start()
    await within(WITHIN, served)
