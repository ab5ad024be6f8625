"""Inner gateways on a real engine: the names of services on demand lead to them, and nothing cuts one that runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.catalog.inside import InsideNetwork
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


async def test_a_gateway_that_somebody_removes_is_made_anew(yard: DockerBench, gateways: InnerGateways) -> None:
    [driver] = yard.drivers
    await gateways.ensure(await driver.inside())
    [identity] = running(yard).values()
    docker("rm", "-f", identity)
    await until(lambda: running(yard).get("inner-1", identity) != identity)
