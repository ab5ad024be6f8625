"""Containers that the engine cannot start again: its runtime has a task of them, left by a start in whose midst the
engine went down. Engine 20.10 never gets over that; the relay says its words, since a test meets it only by chance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.scaler.drivers.docker import DockerDriver
from tests.contract.drivers.bench import until
from tests.contract.drivers.docker_bench import DockerBench, docker
from tests.contract.drivers.test_gateways import bootstrap, ensured, running
from tests.support.engine.relay import Relay
from tests.support.envoy import envoy_binary

CONTAINERS = True
pytestmark = pytest.mark.docker


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    made = Relay(tmp_path / "relay.sock")
    await made.mend()
    yield made
    await made.cut()


@pytest.fixture
async def driver(yard: DockerBench, relay: Relay) -> AsyncIterator[DockerDriver]:
    """With a service that has an anonymous volume, by way of the relay."""
    yard.service()
    yard.entries["svc"]["volumes"].append("/anonymous")
    yard.amend("svc")
    made = yard.make(host=relay.host)
    yard.configure(made)
    await made.adopt()
    yield made
    await made.close()


def stick(relay: Relay, container: str) -> str:
    """Its whole id."""
    whole = docker("inspect", container, "--format", "{{.Id}}")
    relay.refuse(f"/containers/{whole}/start", f"task {whole}: already exists")
    return whole


async def awake(driver: DockerDriver, yard: DockerBench, replica: str) -> str:
    running = await driver.start(yard.services["svc"], replica)
    await driver.ready(yard.services["svc"], replica)
    return str(running.container)


async def test_one_that_is_stuck_is_made_anew_with_its_anonymous_volumes(
    yard: DockerBench, driver: DockerDriver, relay: Relay
) -> None:
    name = await awake(driver, yard, "svc-1")
    docker("exec", name, "touch", "/anonymous/kept")
    await driver.stop(yard.services["svc"], "svc-1")
    before = stick(relay, name)
    name = await awake(driver, yard, "svc-2")
    assert docker("inspect", name, "--format", "{{.Id}}") != before
    assert docker("exec", name, "ls", "/anonymous") == "kept"
    assert yard.containers() == [name]
    await driver.stop(yard.services["svc"], "svc-2")


@pytest.mark.envoy
async def test_a_gateway_that_is_stuck_is_made_anew(yard: DockerBench, driver: DockerDriver, relay: Relay) -> None:
    gateways = driver.gateways(envoy_binary(), lambda name: bootstrap(yard, name))
    try:
        async with ensured(gateways, driver):
            [identity] = running(yard).values()
            stick(relay, identity)
            docker("kill", identity)
            await until(lambda: running(yard).get("inner-1", identity) != identity)
    finally:
        await gateways.close()
