"""What wakes nothing and counts as no use: health, monitors, ignored paths, answers from memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from services.catalog.model import Wake
from services.scaler.core.events import Flow
from tests.e2e.mesh.conftest import NAME, service
from tests.support.envoy import Actor, Echo, Rig, rig

pytestmark = pytest.mark.envoy


@pytest.fixture
async def hub(upstream: Echo) -> AsyncIterator[Rig]:
    wake = Wake(ignore_paths=("/favicon.ico", "/metrics"), ignore_agents=("OurProbe",), answer=("/v1/models",))
    plain = service("plain", health="tcp")
    async with rig(replace(service(), wake=wake), plain) as made:
        made.director.actors[NAME] = Actor({"main": upstream.endpoint})
        made.director.actors["plain"] = Actor({"main": upstream.endpoint})
        yield made


def own(hub: Rig) -> str:
    return f"http://127.0.0.1:{hub.catalog.services[NAME].publishes[0].number}"


async def test_the_hubs_own_health_wakes_nothing(hub: Rig, client: aiohttp.ClientSession) -> None:
    for path in ("/api/health", f"/api/health/{NAME}"):
        async with client.get(hub.base + path) as answer:
            assert answer.status == 200
    assert [path for path, _ in hub.hub_saw] == ["/api/health", f"/api/health/{NAME}"]
    assert hub.director.actors[NAME].asked == []


async def test_health_of_a_service_is_its_state_asleep_and_its_own_answer_awake(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    async with client.get(f"{api}/health") as answer:
        assert answer.status == 200
        assert answer.headers["x-hub-state"] == "asleep"
        assert (await answer.json())["state"] == "stopped"
    assert hub.director.actors[NAME].asked == []
    hub.director.wake(NAME)
    await hub.seen(upstream.endpoint)
    async with client.get(f"{api}/health?full=1") as answer:
        assert (await answer.json())["path"] == "/healthz?full=1"
    async with client.head(f"{api}/health") as answer:
        assert answer.status == 200
    async with client.post(f"{api}/health") as answer:
        assert (await answer.json())["path"] == "/health"


async def test_a_failed_service_is_not_well(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    hub.director.actors[NAME].state = "failed"
    async with client.get(f"{api}/health") as answer:
        assert answer.status == 503
    async with client.get(api, headers={"User-Agent": "Uptime-Kuma/1.23"}) as answer:
        assert answer.status == 503


async def test_a_service_without_a_health_path_has_the_hubs_view(hub: Rig, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{hub.base}/api/plain/health") as answer:
        assert (await answer.json())["service"] == "plain"
    assert hub.hub_saw == [("/api/health/plain", None)]


@pytest.mark.parametrize("agent", ["Uptime-Kuma/1.23.1", "kube-probe/1.29", "Prometheus/2.50.1", "x OurProbe y"])
async def test_a_monitor_is_told_that_it_sleeps(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str, agent: str
) -> None:
    for url in (f"{api}/x", api, f"{own(hub)}/x"):
        async with client.get(url, headers={"User-Agent": agent}) as answer:
            assert answer.status == 200
            assert answer.headers["x-hub-state"] == "asleep"
            assert await answer.read() == b""
    assert hub.director.actors[NAME].asked == []


async def test_an_ignored_path_wakes_nothing(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    for url in (f"{api}/metrics", f"{own(hub)}/metrics", f"{api}/favicon.ico"):
        async with client.get(url) as answer:
            assert answer.status == 200
            assert answer.headers["x-hub-state"] == "asleep"
    assert hub.director.actors[NAME].asked == []


async def test_background_requests_are_served_awake_and_count_as_no_use(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.wake(NAME)
    await hub.seen(upstream.endpoint)
    async with client.get(f"{api}/x") as answer:
        assert answer.status == 200
    before = (await hub.mesh.flows() or {})[NAME]
    for url, headers, seen in (
        (f"{api}/metrics", {}, "/metrics"),
        (f"{api}/health", {}, "/healthz"),
        (f"{own(hub)}/x", {"User-Agent": "kube-probe/1.29"}, "/x"),
    ):
        async with client.get(url, headers=headers) as answer:
            assert (await answer.json())["path"] == seen
    after = (await hub.mesh.flows() or {})[NAME]
    assert (after.total, after.active) == (before.total, 0)


async def test_a_background_request_in_flight_keeps_it_from_resting(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession
) -> None:
    hub.director.wake(NAME)
    await hub.seen(upstream.endpoint)
    asking = asyncio.ensure_future(client.get(f"{own(hub)}/wait", headers={"User-Agent": "kube-probe/1.29"}))
    await upstream.arrived.wait()
    assert (await hub.mesh.flows() or {}).get(NAME, Flow(0, 0)) == Flow(0, 0)
    resting = asyncio.ensure_future(hub.director.rest(NAME))
    await asyncio.wait([resting], timeout=0.5)
    assert not resting.done()
    upstream.go.set()
    assert (await asking).status == 200
    await resting


async def test_a_path_to_be_answered_asleep_is_answered_from_memory(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.wake(NAME)
    await upstream.arrived.wait()  # the mesh asks by itself
    await hub.director.rest(NAME)
    before = list(upstream.seen)
    assert ("GET", "/v1/models") in before
    for url in (f"{api}/v1/models?x=1", f"{own(hub)}/v1/models"):
        async with client.get(url) as answer:
            assert answer.status == 200
            assert answer.headers["x-hub-state"] == "asleep"
            assert answer.content_type == "application/json"
            assert (await answer.json())["path"] == "/v1/models"
    assert upstream.seen == before
    assert hub.director.actors[NAME].asked == []
    async with client.post(f"{api}/v1/models") as answer:
        assert answer.status == 200
    assert len(hub.director.actors[NAME].asked) == 1


async def test_what_is_not_in_memory_wakes(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    async with client.get(f"{api}/v1/models") as answer:
        assert answer.status == 200
    assert hub.director.actors[NAME].wakes == 1
