"""Somebody takes the gateway from a network of the project, or makes that anew: callers there find it again."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import IMAGE, Caller, DockerHub, Project, caller, docker, eventually, web

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

LONG = {"idle_timeout": "5m", "stop_after": "15m"}
URL = "http://svc:8080/"
SOON = 2.0
"""Seconds in which a name is answered again."""


def network_of(project: Project) -> str:
    return f"{project.name}_default"


def subnet_of(network: str) -> str:
    return docker("network", "inspect", network, "--format", "{{(index .IPAM.Config 0).Subnet}}")


def gateway_of(hub: DockerHub) -> str:
    [found] = hub.own_containers("aihub.gateway")
    return found


async def answered(inside: Caller, within: float = SOON) -> None:
    begun = time.monotonic()
    status, told = await inside.until_named(URL, within)
    assert status == 200, told
    assert time.monotonic() - begun < within + 1.0


def doctor(hub: DockerHub) -> str:
    return hub.cli("doctor").stdout


@pytest.fixture
def shop(project: MakeProject) -> Project:
    made = project("shop")
    made.write({"caller": web("caller"), "svc": web("svc", rests=LONG)})
    return made


async def test_a_name_is_answered_again_soon_after_the_gateway_was_taken_from_the_network(
    shop: Project, start: StartHub
) -> None:
    hub = start(shop)
    gateway = gateway_of(hub)
    async with caller(shop, "caller") as inside:
        for how in ("ready", "paused", "stopped"):
            await answered(inside, 20)
            if how != "ready":
                await hub.rested("svc", how)
            await asyncio.to_thread(docker, "network", "disconnect", network_of(shop), gateway)
            await answered(inside)
    assert gateway_of(hub) == gateway
    assert "WRONG names" not in doctor(hub)


async def test_a_name_is_answered_on_a_network_that_compose_has_made_anew_with_other_addresses(
    shop: Project, start: StartHub
) -> None:
    hub = start(shop)
    network = network_of(shop)
    before = subnet_of(network)
    await hub.rested("svc", "stopped")
    shop.compose("rm", "-sf", "caller")
    end = time.monotonic() + 20
    while network in docker("network", "ls", "--format", "{{.Name}}").split():
        # In the same moment, as a script would: the gateway comes back otherwise.
        docker("network", "disconnect", network, gateway_of(hub), check=False)
        docker("network", "rm", network, check=False)
        assert time.monotonic() < end
    docker("network", "create", "--subnet", before, f"{network}-other")
    try:
        shop.compose("up", "-d", "caller")
        assert subnet_of(network) != before
        async with caller(shop, "caller") as inside:
            await answered(inside, 5)
    finally:
        docker("network", "rm", f"{network}-other")


async def test_where_the_gateway_cannot_come_back_doctor_says_so_until_it_can(shop: Project, start: StartHub) -> None:
    shop.write(
        {"caller": web("caller"), "svc": web("svc", rests=LONG)},
        networks={"default": {"ipam": {"config": [{"subnet": "10.213.77.0/29"}]}}},
    )
    hub = start(shop)
    network, gateway = network_of(shop), gateway_of(hub)
    others: list[str] = []
    async with caller(shop, "caller") as inside:
        await answered(inside, 20)
        try:
            # With the caller, the service and the gateway these have all the addresses there are.
            others += [docker("run", "-d", "--network", network, IMAGE) for _ in range(2)]
            os.kill(hub.pids()["scaler"], signal.SIGSTOP)
            docker("network", "disconnect", network, gateway)
            others.append(docker("run", "-d", "--network", network, IMAGE))
            os.kill(hub.pids()["scaler"], signal.SIGCONT)
            await eventually(lambda: "WRONG names inside networks: " in doctor(hub), told=lambda: doctor(hub))
            docker("rm", "-f", others.pop())
            await answered(inside, 5)
            await eventually(lambda: "WRONG names" not in doctor(hub), told=lambda: doctor(hub))
        finally:
            os.kill(hub.pids()["scaler"], signal.SIGCONT)
            docker("rm", "-f", *others)
