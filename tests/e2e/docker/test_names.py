"""Calls between containers: the name of a service on demand always answers, asleep, awake or in between."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import (
    Caller,
    DockerHub,
    Project,
    caller,
    docker,
    docker_hub,
    eventually,
    fetch,
    in_states,
    projects,
    web,
)
from tests.support.hub import ASLEEP, HubFailed
from tests.support.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

PROXY = "server { listen 80; location / { proxy_pass http://right:8080; } }\n"
LONG = {"idle_timeout": "5m", "stop_after": "15m"}
QUICK = {"idle_timeout": "300ms", "stop_after": "15m"}


@dataclass(frozen=True, slots=True)
class Town:
    hub: DockerHub
    town: Project
    village: Project
    port: int


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Two projects with services of the same names on the same ports, below one hub, for all tests of this module."""
    folder, port = tmp_path_factory.mktemp("names"), free_port()
    with projects(folder, "town", "village") as [town, village]:
        (town.folder / "proxy.conf").write_text(PROXY)
        town.write(services(port))
        village.write({"caller": web("caller of the village"), "left": web("left of the village", rests=LONG)})
        with docker_hub(folder, [town, village]) as hub:
            yield Town(hub, town, village, port)


def services(port: int) -> dict[str, Any]:
    return {
        "caller": web("caller"),
        "left": web("left", rests=LONG, ports=[f"127.0.0.1:{port}:8080"]),
        "right": web("right", rests=LONG),
        "restless": web("restless", rests=QUICK),
        "agent": web("agent", rests=QUICK, **{"x-hub": {"uses": ["tool"]}}),
        "tool": web("tool", rests=QUICK),
        "proxy": {
            "image": "aihub-test/nginx",
            "volumes": ["./proxy.conf:/etc/nginx/conf.d/default.conf:ro"],
        },
    }


def name_of(hub: DockerHub, project: Project, service: str) -> str:
    """What the hub calls it: alone where no other project has one of that name."""
    return next(name for name in hub.states() if name in (service, f"{project.name}-{service}"))


def who(told: Mapping[str, Any]) -> str:
    return str(json.loads(told["body"])["service"])


@pytest.mark.parametrize("how", ["stopped", "paused"])
async def test_a_call_by_name_wakes_what_it_is_for(place: Town, how: str) -> None:
    async with caller(place.town, "caller") as inside:
        for url in ("http://right:8080/", "http://right:8080/some/path?and=more"):
            assert (await inside.peer(url))[0] == 200
            await place.hub.rested("right", how)
            status, told = await inside.peer(url)
            assert (status, who(told)) == (200, "right")
            assert json.loads(told["body"])["target"] == url.removeprefix("http://right:8080")


@pytest.mark.parametrize(("how", "rounds"), [("paused", 60), ("stopped", 15)])
async def test_a_call_at_the_very_moment_of_going_to_rest_is_answered(place: Town, how: str, rounds: int) -> None:
    chance = random.Random(11)
    async with caller(place.town, "caller") as inside:
        assert (await inside.peer("http://right:8080/"))[0] == 200
        for number in range(rounds):
            resting = asyncio.create_task(asyncio.to_thread(ask_to_rest, place.hub, "right", how))
            await asyncio.sleep(chance.uniform(0, 0.12 if how == "paused" else 0.4))
            status, told = await inside.peer("http://right:8080/")
            assert (status, who(told)) == (200, "right"), (number, told)
            await resting


def ask_to_rest(hub: DockerHub, service: str, how: str) -> None:
    """Refused where a request has come first: that is what this is about."""
    with contextlib.suppress(HubFailed):
        hub.command_api("POST", f"/v1/services/{service}/sleep?to={how}")


async def test_a_call_when_its_idle_time_ends_is_answered(place: Town) -> None:
    chance = random.Random(11)
    async with caller(place.town, "caller") as inside:
        for number in range(20):
            status, told = await inside.peer("http://restless:8080/")
            assert (status, who(told)) == (200, "restless"), (number, told)
            await asyncio.sleep(chance.uniform(0.25, 0.75))


async def test_a_proxy_that_names_it_starts_while_it_sleeps_and_reaches_it(place: Town) -> None:
    await place.hub.rested("right", "stopped")
    docker("restart", "-t", "1", place.town.container("proxy").id)
    async with caller(place.town, "caller") as inside:
        assert place.hub.state("right") == "stopped"
        await eventually(lambda: place.town.container("proxy").state == "running")
        status, told = await inside.peer("http://proxy/")
        assert (status, who(told)) == (200, "right")


async def test_a_published_port_of_a_sleeping_service_answers(place: Town) -> None:
    left = name_of(place.hub, place.town, "left")
    for how in ("stopped", "paused"):
        assert (await asyncio.to_thread(fetch, place.port, "/"))[0] == 200
        await place.hub.rested(left, how)
        status, body = await asyncio.to_thread(fetch, place.port, "/")
        assert (status, json.loads(body)["service"]) == (200, "left")


async def test_services_on_one_port_are_told_apart_by_host_and_projects_by_their_networks(place: Town) -> None:
    async with caller(place.town, "caller") as inside, caller(place.village, "caller") as elsewhere:
        calls = [inside.peer(f"http://{name}:8080/") for name in ("left", "right", "tool")]
        found = await asyncio.gather(*calls, elsewhere.peer("http://left:8080/"))
        assert [status for status, _ in found] == [200] * 4
        assert [who(told) for _, told in found] == ["left", "right", "tool", "left of the village"]
        # What is of another project has no name here.
        status, told = await elsewhere.peer("http://right:8080/", limit=5)
        assert status == 502
        assert "error" in told


async def test_bodies_and_websockets_go_through_whole(place: Town) -> None:
    body = os.urandom(1 << 20)
    wanted = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    async with caller(place.town, "caller") as inside:
        for how in ("stopped", "paused", "awake"):
            if how != "awake":
                await place.hub.rested("right", how)
            status, told = await inside.peer("http://right:8080/echo", body=body)
            assert (status, json.loads(told["body"])) == (200, wanted)
        status, told = await inside.peer("http://right:8080/big?bytes=1048576")
        assert (status, told["length"]) == (200, 1 << 20)
    for how in ("stopped", "paused"):
        await place.hub.rested("right", how)
        await echoes_by_websocket(gateway_address(place), "right:8080")


def gateway_address(place: Town) -> str:
    """Of an inner gateway on the town's network."""
    network = f"{place.town.name}_default"
    inspected = json.loads(docker("inspect", *place.hub.own_containers("aihub.gateway")))
    found = [one["NetworkSettings"]["Networks"].get(network) for one in inspected]
    return next(str(one["IPAddress"]) for one in found if one)


async def echoes_by_websocket(address: str, host: str) -> None:
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.ws_connect(f"http://{address}:8080/socket", headers={"Host": host}) as socket,
    ):
        for number in range(20):
            text = f"{number} " + "x" * number * 500
            await socket.send_str(text)
            assert await socket.receive_str(timeout=10) == text


async def test_what_a_running_service_uses_stays_awake_with_it(place: Town) -> None:
    hub = place.hub
    async with caller(place.town, "caller") as inside:
        work = asyncio.create_task(inside.peer("http://agent:8080/delay?seconds=3"))
        await hub.until("agent", "ready")
        while not work.done():
            assert hub.state("tool") not in ASLEEP
            await asyncio.sleep(0.1)
        assert (await work)[0] == 200
    await hub.asleep("agent")
    await hub.asleep("tool")


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(20, marks=pytest.mark.timeout(240)),
        pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
async def test_a_long_stream_is_not_cut_by_services_that_come_rest_and_wake(
    project: MakeProject, start: StartHub, seconds: int
) -> None:
    town = project("town")
    here = {"caller": web("caller"), "source": web("source", rests=QUICK), "other": web("other", rests=QUICK)}
    town.write(here)
    hub = start(town)
    async with caller(town, "caller") as inside:
        stream = asyncio.create_task(ticks(inside, f"http://source:8080/stream?seconds={seconds}&every=0.1"))
        await hub.until("source", "ready")
        for number in range(1, 3):
            here[f"late{number}"] = web(f"late{number}", rests=QUICK)
            town.write(here)
            status, told = await inside.until_named(f"http://late{number}:8080/", 5)
            assert (status, who(told)) == (200, f"late{number}")
            assert len(hub.own_containers("aihub.gateway")) == number + 1
        while not stream.done():
            assert (await inside.peer("http://other:8080/"))[0] == 200
            await asyncio.sleep(1)
        assert in_states(hub, {"source": "ready"}) or stream.done()
        got = await stream
    assert got == list(range(len(got)))
    assert len(got) > seconds * 5


async def ticks(inside: Caller, url: str) -> list[int]:
    return [int(line.removeprefix("tick ")) async for line in inside.lines(url)]
