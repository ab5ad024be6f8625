"""A project that ran before the hub: its containers have ports of their own, and go over to the gateway at rest."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import DockerHub, Project, docker, docker_hub, eventually, fetch, web
from tests.support.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

QUICK = {"idle_timeout": "1s", "stop_after": "5m"}


def answers(port: int) -> bool:
    try:
        return fetch(port, "/")[0] == 200
    except OSError:
        return False


def bindings(project: Project, service: str) -> object:
    return json.loads(docker("inspect", project.container(service).id))[0]["HostConfig"]["PortBindings"]


async def test_what_is_called_past_the_gateway_stays_awake_and_then_its_port_is_the_gateways(
    project: MakeProject, start: StartHub
) -> None:
    port = free_port()
    made = project("early")
    made.write({"app": web("app", rests=QUICK, ports=[f"127.0.0.1:{port}:8080"])})
    made.compose("up", "-d", "--wait", "app")
    before = made.container("app").id
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    await eventually(lambda: answers(port))
    caller.request("GET", "/")
    caller.getresponse().read()
    hub = start(made)
    assert "held by docker-proxy" in hub.cli("doctor").stdout
    await eventually(lambda: "past the gateway" in hub.cli("explain", "app").stdout, told=hub.said)
    await asyncio.sleep(3 * 1.0)  # three times the idle time: nothing tells that it does not rest
    assert (await asyncio.to_thread(hub.state, "app")) == "ready"
    caller.request("GET", "/")
    assert caller.getresponse().read()
    caller.close()
    # Stopped, never paused: at its own port a caller would wait for ever.
    assert await hub.asleep("app") == "stopped"
    await eventually(lambda: answers(port), limit=4)
    assert made.container("app").id != before
    assert not bindings(made, "app")
    assert "held by" not in hub.cli("doctor").stdout


async def test_the_container_that_holds_volumes_outlives_a_kill_and_no_orderly_end(
    project: MakeProject, tmp_path: Path
) -> None:
    made = project("kept")
    made.write({"app": web("app", rests=QUICK, volumes=["rows:/data"])}, volumes={"rows": {}})
    with docker_hub(tmp_path, [made]) as hub:
        await asyncio.to_thread(hub.ask, "/api/app/")
        await eventually(lambda: len(hub.own_containers("aihub.keeper")) == 1)
        keeper = hub.own_containers("aihub.keeper")
        await killed(hub)
        assert hub.own_containers("aihub.keeper") == keeper
    # `docker_hub` has seen that nothing is left.


async def killed(hub: DockerHub) -> None:
    before = hub.kill("scaler")
    await eventually(lambda: hub.pids().get("scaler", before) != before and hub.reachable())
