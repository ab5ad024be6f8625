"""Inner gateways on a real engine: the names of services on demand lead to them, and nothing cuts one that runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.catalog.inside import InsideNetwork
from services.scaler.drivers.docker import DockerDriver
from services.scaler.drivers.docker import gateways as gateways_module
from services.scaler.drivers.docker.gateways import InnerGateways
from services.scaler.drivers.docker.keeper import mark
from tests.contract.drivers.bench import until
from tests.contract.drivers.docker_bench import DockerBench, docker
from tests.support.envoy import envoy_binary

CONTAINERS = True
pytestmark = [pytest.mark.docker, pytest.mark.envoy]
TYPES = "type.googleapis.com/envoy.extensions.filters"
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"


def static(name: str) -> dict[str, Any]:
    """An Envoy that answers everything on port 80 with its own name."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": f"gateway {name}"}}}
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inner",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            }
        ],
    }
    address = {"socket_address": {"address": "0.0.0.0", "port_value": 80}}
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"static_resources": {"listeners": [{"name": "in", "address": address, "filter_chains": [chain]}]}}


@pytest.fixture
async def gateways(yard: DockerBench) -> AsyncIterator[InnerGateways]:
    yard.service()
    yard.service(name="caller")
    driver = await yard.driver()
    made = driver.gateways(envoy_binary(), lambda name: bootstrap(yard, name))
    yield made
    await made.close()
    assert (
        docker("ps", "-aq", "--filter", f"label=aihub.data={mark(yard.layout)}", "--filter", "label=aihub.gateway")
        == ""
    )


def bootstrap(yard: DockerBench, name: str) -> Path:
    path = yard.layout.gateways / name / "bootstrap.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(static(name)))
    return path


def running(yard: DockerBench) -> dict[str, str]:
    label = f"label=aihub.data={mark(yard.layout)}"
    told = docker("ps", "--filter", label, "--filter", "label=aihub.gateway", "--format", "{{.Names}} {{.ID}}")
    return {name.partition("-gateway-")[2]: id for name, id in (line.split() for line in told.splitlines())}


async def fetched(container: str, url: str) -> str:
    return docker("exec", container, "python3", "-c", FETCH, url)


async def test_names_lead_to_the_gateway_and_later_ones_to_another_beside_it(
    yard: DockerBench, gateways: InnerGateways
) -> None:
    [driver] = yard.drivers
    [network] = await driver.inside()
    assert network.names == {"svc": "svc", "caller": "caller"}
    assert await gateways.ensure([network]) == ["inner-1"]
    caller = (await driver.start(yard.services["caller"], "caller-1")).container
    await driver.ready(yard.services["caller"], "caller-1")
    await until(lambda: bool(running(yard)))
    for name in ("svc", "caller", "aihub"):
        assert await fetched(caller, f"http://{name}/") == "gateway inner-1"
    before = running(yard)
    more = InsideNetwork(network.name, network.subnets, {**network.names, "late": "svc"})
    assert await gateways.ensure([more]) == ["inner-1", "inner-2"]
    assert await gateways.ensure([more]) == ["inner-1", "inner-2"]
    assert running(yard)["inner-1"] == before["inner-1"]
    assert await fetched(caller, "http://late/") == "gateway inner-2"
    assert await fetched(caller, "http://svc/") == "gateway inner-1"
    later = (await yard.driver()).gateways(envoy_binary(), lambda name: bootstrap(yard, name))
    assert await later.ensure([network]) == ["inner-1", "inner-2"]
    assert len(running(yard)) == 2
    later.let_go()


async def test_a_gateway_that_dies_is_started_again(yard: DockerBench, gateways: InnerGateways) -> None:
    [driver] = yard.drivers
    await gateways.ensure(await driver.inside())
    [identity] = running(yard).values()
    times = ("inspect", identity, "--format", "{{.State.StartedAt}}")
    born = docker(*times)
    docker("kill", identity)
    await until(lambda: docker(*times) != born and running(yard) == {"inner-1": identity})


@pytest.fixture
async def asked(yard: DockerBench, gateways: InnerGateways) -> AsyncIterator[InsideNetwork]:
    [driver] = yard.drivers
    async with ensured(gateways, driver) as network:
        yield network


@contextlib.asynccontextmanager
async def ensured(gateways: InnerGateways, driver: DockerDriver) -> AsyncIterator[InsideNetwork]:
    """Its gateway runs, and whenever one of them is astray the same is asked for again."""
    tasks: set[asyncio.Task[object]] = set()

    def again() -> None:
        async def work() -> None:
            await gateways.ensure(await driver.inside())

        task = asyncio.get_running_loop().create_task(work())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    [network] = await driver.inside()
    await gateways.ensure([network])
    gateways.astray.append(again)
    yield network
    gateways.astray.clear()
    await asyncio.gather(*tasks)


async def test_a_gateway_that_somebody_removes_is_made_anew(yard: DockerBench, asked: InsideNetwork) -> None:
    [identity] = running(yard).values()
    docker("rm", "-f", identity)
    await until(lambda: running(yard).get("inner-1", identity) != identity)


async def awake(yard: DockerBench, name: str) -> str:
    """Its container."""
    [driver] = yard.drivers
    container = (await driver.start(yard.services[name], f"{name}-1")).container
    await driver.ready(yard.services[name], f"{name}-1")
    assert container is not None
    return container


def answers(container: str, url: str) -> bool:
    """At once: the engine passes a name that is nobody's on to servers which may never answer."""
    command = ["docker", "exec", container, "python3", "-c", FETCH, url]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and done.stdout.startswith("gateway ")


async def answered(container: str, name: str, within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not await asyncio.to_thread(answers, container, f"http://{name}/"):  # noqa: ASYNC110 (not ours)
            await asyncio.sleep(0.01)


async def test_a_gateway_that_somebody_takes_from_a_network_is_connected_again_with_its_names(
    yard: DockerBench, asked: InsideNetwork
) -> None:
    caller = await awake(yard, "caller")
    before = running(yard)
    for _ in range(2):
        docker("network", "disconnect", asked.name, before["inner-1"])
        await answered(caller, "svc")
        await answered(caller, "aihub")
    assert running(yard) == before
    # Connected by hand it has no names there: another one takes them.
    docker("network", "disconnect", asked.name, before["inner-1"])
    docker("network", "connect", asked.name, before["inner-1"])
    docker("network", "disconnect", asked.name, before["inner-1"])
    await answered(caller, "svc")


async def test_a_network_that_is_made_anew_has_the_gateway_again(yard: DockerBench, asked: InsideNetwork) -> None:
    [gateway] = running(yard).values()
    subnet = docker("network", "inspect", asked.name, "--format", "{{(index .IPAM.Config 0).Subnet}}")
    docker("network", "disconnect", asked.name, gateway)
    docker("network", "rm", asked.name)
    # Its addresses are somebody else's now.
    docker("network", "create", "--subnet", subnet, f"{asked.name}-other")
    try:
        caller = await awake(yard, "caller")
        assert docker("network", "inspect", asked.name, "--format", "{{(index .IPAM.Config 0).Subnet}}") != subnet
        await answered(caller, "svc")
    finally:
        docker("network", "rm", f"{asked.name}-other")


async def test_a_gateway_that_ends_while_its_network_is_made_anew_is_replaced(
    yard: DockerBench, asked: InsideNetwork
) -> None:
    [gateway] = running(yard).values()
    docker("stop", "-t", "0", gateway)
    with contextlib.suppress(AssertionError):  # it is started again at once
        docker("network", "rm", asked.name)
    caller = await awake(yard, "caller")
    await answered(caller, "svc", 10)


async def test_a_gateway_that_somebody_restarts_keeps_its_sockets(
    yard: DockerBench, asked: InsideNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long ours waits before it would start it: by then it runs."""
    monkeypatch.setattr(gateways_module, "_BACK_OFF", (1.0,))
    [identity] = running(yard).values()
    docker("restart", "-t", "0", identity)
    (yard.layout.gateways / "inner-1" / "gate.sock").touch()
    await asyncio.sleep(1.5)  # longer than it waits
    assert (yard.layout.gateways / "inner-1" / "gate.sock").exists()
    assert running(yard) == {"inner-1": identity}


async def test_a_gateway_under_another_name_answers_and_is_removed_in_the_end(
    yard: DockerBench, asked: InsideNetwork
) -> None:
    [identity] = running(yard).values()
    docker("rename", identity, f"{yard.project}-gateway-inner-1")
    caller = await awake(yard, "caller")
    assert answers(caller, "http://svc/")
    docker("kill", identity)
    await answered(caller, "svc")
