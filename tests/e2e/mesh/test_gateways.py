"""Several gateways of one hub: what any of them carries, all of them answer for."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from services.catalog.model import Port
from services.scaler.mesh import envoy_admin, resting
from services.scaler.mesh.base import Busy
from tests.e2e.mesh.conftest import NAME, service
from tests.e2e.mesh.test_resting import InFlight, Load, program
from tests.support.envoy import Actor, Echo, Rig, eventually, rig, start_gateway
from tests.support.inner import SHOP, Inner, inner, shop
from tests.support.ports import free_port

pytestmark = pytest.mark.envoy


@pytest.fixture
async def hub(upstream: Echo) -> AsyncIterator[Rig]:
    """`echo` asleep, and neighbours on one network who call it by that name."""
    async with rig(replace(service(), ports=(Port("main", free_port()),))) as made:
        made.director.actors[NAME] = Actor({"main": upstream.endpoint})
        made.inside = (shop(echo=NAME),)
        made.mesh.configure(made.catalog, made.inside)
        yield made


@pytest.fixture
async def gateway(hub: Rig) -> AsyncIterator[Inner]:
    async with inner(hub) as made:
        yield made


def by_name(hub: Rig) -> str:
    return f"http://{SHOP}:{hub.catalog.services[NAME].ports[0].number}"


async def served(client: aiohttp.ClientSession, url: str) -> None:
    async with client.get(f"{url}/x") as answer:
        assert answer.status == 200, await answer.text()


async def test_each_gateway_has_a_gate_of_its_own_and_needs_no_other(
    hub: Rig, gateway: Inner, client: aiohttp.ClientSession
) -> None:
    assert hub.mesh.connected() == {"hub", "inner-1"}
    hub.kill_envoy()
    await eventually(lambda: hub.mesh.connected() == {"inner-1"})
    await served(client, by_name(hub))
    assert hub.director.actors[NAME].wakes == 1
    assert hub.connected.is_set(), "one gateway is left"
    await hub.director.rest(NAME)
    await served(client, by_name(hub))


@pytest.mark.parametrize("cold", [True, False])
@pytest.mark.parametrize("kind", ["sse", "websocket", "upload"])
async def test_what_is_in_flight_at_the_inner_gateway_alone_keeps_it_from_resting(
    hub: Rig,
    gateway: Inner,
    upstream: Echo,
    client: aiohttp.ClientSession,
    kind: str,
    cold: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not cold:
        hub.director.wake(NAME)
        await gateway.seen(upstream.endpoint)
    going = InFlight(client, by_name(hub), upstream)
    await going.begin(kind)
    assert (await hub.mesh.flows() or {})[NAME].active == 1
    monkeypatch.setattr(resting, "_QUIET_LIMIT", 0.4)
    with pytest.raises(Busy, match="1 requests in flight"):
        await hub.mesh.drain(hub.director.replica(NAME))
    hub.mesh.publish(hub.director.replica(NAME), NAME, hub.director.actors[NAME].endpoints)
    await going.end()
    await hub.director.rest(NAME)


async def test_in_flight_and_total_are_sums(
    hub: Rig, gateway: Inner, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.wake(NAME)
    await gateway.seen(upstream.endpoint)
    await hub.seen(upstream.endpoint)
    asking = [asyncio.ensure_future(client.get(f"{url}/wait")) for url in (api, by_name(hub), by_name(hub))]
    await eventually(lambda: len(upstream.seen) == 3)
    flow = (await hub.mesh.flows() or {})[NAME]
    assert (flow.active, flow.total) == (3, 3)
    upstream.go.set()
    assert [(await asked).status for asked in asking] == [200] * 3
    flow = (await hub.mesh.flows() or {})[NAME]
    assert (flow.active, flow.total) == (0, 3)


async def test_a_program_is_frozen_under_load_by_two_gateways_and_nobody_notices(tmp_path: Path, hub: Rig) -> None:
    with program(tmp_path, "asyncio") as (process, endpoint):
        hub.director.actors[NAME] = Actor({"main": endpoint}, wakes_after=None)
        hub.director.wake(NAME)
        body = b"x" * 5000
        async with (
            inner(hub),
            Load(f"{hub.base}/api/{NAME}/echo-sha", 4, body) as edge,
            Load(f"{by_name(hub)}/echo-sha", 4, body) as inside,
        ):
            for _ in range(12):
                await hub.director.rest(NAME)
                os.kill(process.pid, signal.SIGSTOP)
                await hub.director.held(NAME, 8)
                assert not await hub.mesh.moved(hub.director.replica(NAME))
                os.kill(process.pid, signal.SIGCONT)
                hub.director.wake(NAME)
                before = (edge.served, inside.served)
                await eventually(
                    lambda then=before: edge.served >= then[0] + 10 and inside.served >= then[1] + 10  # type: ignore[misc]
                )
        assert edge.wrong + inside.wrong == []


async def test_a_gateway_that_dies_in_the_middle_of_a_drain_is_not_waited_for(
    hub: Rig, gateway: Inner, upstream: Echo, client: aiohttp.ClientSession
) -> None:
    hub.director.wake(NAME)
    await gateway.seen(upstream.endpoint)
    asking = asyncio.ensure_future(client.get(f"{by_name(hub)}/wait"))
    await upstream.arrived.wait()
    replica = hub.director.replica(NAME)
    draining = asyncio.ensure_future(hub.mesh.drain(replica))
    await asyncio.sleep(0.2)
    assert not draining.done()
    gateway.kill()
    await draining
    with pytest.raises(aiohttp.ClientError):
        await asking
    assert not await hub.mesh.withdraw(replica)
    assert not await hub.mesh.moved(replica)


async def test_a_gateway_that_comes_in_the_middle_of_a_drain_is_told_and_asked(
    hub: Rig, gateway: Inner, upstream: Echo, client: aiohttp.ClientSession
) -> None:
    hub.director.wake(NAME)
    await gateway.seen(upstream.endpoint)
    asking = asyncio.ensure_future(client.get(f"{by_name(hub)}/wait"))
    await upstream.arrived.wait()
    replica = hub.director.replica(NAME)
    draining = asyncio.ensure_future(hub.mesh.drain(replica))
    # On this one machine its listeners find their ports taken; in a container of its own they would not.
    bootstrap = hub.mesh.prepare_gateway("inner-2")
    process = start_gateway(bootstrap, bootstrap.parent / "envoy.log")
    try:
        await eventually(lambda: "inner-2" in hub.mesh.connected())
        assert not draining.done()
        upstream.go.set()
        assert (await asking).status == 200
        await draining
        assert not await hub.mesh.withdraw(replica)
        assert not await hub.mesh.moved(replica)
    finally:
        process.kill()
        process.wait()
    await eventually(lambda: "inner-2" not in hub.mesh.connected())
    assert await hub.mesh.moved(replica), "nobody can say any more what it has sent on"


async def test_a_gateway_that_comes_after_a_drain_cannot_vouch_for_what_was_before(hub: Rig, upstream: Echo) -> None:
    hub.director.wake(NAME)
    await hub.seen(upstream.endpoint)
    replica = hub.director.replica(NAME)
    await hub.mesh.drain(replica)
    async with inner(hub):
        assert await hub.mesh.moved(replica)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_admin, "_TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    monkeypatch.setattr(resting, "_ACK_LIMIT", 0.2)
    monkeypatch.setattr(resting, "_QUIET_LIMIT", 0.2)


@pytest.mark.usefixtures("impatient")
async def test_where_a_live_gateway_does_not_answer_there_is_no_figure_at_all(
    hub: Rig, upstream: Echo, gateway: Inner
) -> None:
    hub.director.wake(NAME)
    await gateway.seen(upstream.endpoint)
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        assert await hub.mesh.flows() is None
        with pytest.raises(Busy, match="acknowledged"):
            await hub.mesh.drain(hub.director.replica(NAME))
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    hub.director.wake(NAME)
    await eventually(lambda: hub.mesh.connected() == {"hub", "inner-1"})
    assert await hub.mesh.flows() is not None


@pytest.mark.usefixtures("impatient")
async def test_a_gateway_that_runs_without_a_stream_keeps_everything_awake(hub: Rig, gateway: Inner) -> None:
    """It sends by what it last knew, and a new scaler must not believe that it has ended."""
    hub.director.wake(NAME)
    await hub.stop_control()
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        await hub.start_control()
        await eventually(lambda: hub.mesh.connected() == {"hub"})
        assert await hub.mesh.flows() is None
        with pytest.raises(Busy, match="inner-1 runs and has no stream"):
            await hub.mesh.drain(hub.director.replica(NAME))
        hub.director.wake(NAME)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    await eventually(lambda: hub.mesh.connected() == {"hub", "inner-1"})
    await hub.director.rest(NAME)


async def test_a_gateway_that_has_ended_without_a_word_holds_nothing_up(hub: Rig, gateway: Inner) -> None:
    gateway.kill()
    assert (gateway.folder / "envoy-admin.sock").exists()
    await eventually(lambda: hub.mesh.connected() == {"hub"})
    hub.director.wake(NAME)
    await hub.director.rest(NAME)
    await hub.mesh.drop_gateway("inner-1")
    assert not gateway.folder.exists()


async def test_a_gateway_of_no_known_name_is_not_served(hub: Rig, gateway: Inner) -> None:
    bootstrap = hub.layout.gateways / "strange.json"
    said = (gateway.folder / "bootstrap.json").read_text()
    bootstrap.write_text(said.replace('"id":"inner-1"', '"id":"stranger"').replace("inner-1/", "inner-1/other-"))
    process = start_gateway(bootstrap, hub.layout.gateways / "strange.log")
    try:
        log = hub.layout.gateways / "strange.log"
        await eventually(lambda: log.exists() and "no gateway of this hub has that node id" in log.read_text())
        assert hub.mesh.connected() == {"hub", "inner-1"}
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["hub", "inner-0", "inner-100", "../x", "inner-1/..", ""])
async def test_only_inner_gateways_can_be_prepared(hub: Rig, name: str) -> None:
    with pytest.raises(ValueError, match="inner-1 to inner-99"):
        hub.mesh.prepare_gateway(name)
    with pytest.raises(ValueError, match="inner-1 to inner-99"):
        await hub.mesh.drop_gateway(name)
