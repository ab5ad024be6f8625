"""A hub whose services have holders: their names, ports and addresses stay, whatever becomes of their containers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.e2e.docker.test_names import who
from tests.support.docker_hub import (
    Caller,
    DockerHub,
    Project,
    caller,
    docker,
    docker_hub,
    eventually,
    fetch,
    projects,
    web,
)
from tests.support.hub import ASLEEP
from tests.support.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

LONG = {"idle_timeout": "5m", "stop_after": "15m"}
SHORT = {"idle_timeout": "300ms", "stop_after": "15m"}


@dataclass(frozen=True, slots=True)
class Town:
    hub: DockerHub
    town: Project
    port: int


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder, port = tmp_path_factory.mktemp("holders"), free_port()
    with projects(folder, "town") as [town]:
        town.write(services(port))
        with docker_hub(folder, [town], names="holder") as hub:
            yield Town(hub, town, port)


def services(port: int) -> dict[str, Any]:
    return {
        "caller": web("caller"),
        "left": web("left", rests=LONG, ports=[f"127.0.0.1:{port}:8080"], hostname="sinister"),
        "right": web("right", rests=LONG, networks={"default": {"aliases": ["recht"]}}),
        "restless": web("restless", rests=SHORT),
        "several": web("several", rests=LONG, **{"x-hub": {"scaling": {**LONG, "max_replicas": 2}, "stateless": True}}),
    }


def inspected(container: str) -> dict[str, Any]:
    return dict(json.loads(docker("inspect", container))[0])


def holder(place: Town, service: str) -> str:
    """Id of its holder."""
    label = f"label=aihub.holder={place.town.name}/{service}"
    return docker("ps", "-q", "--no-trunc", "--filter", label)


@pytest.mark.parametrize("how", ["stopped", "paused"])
async def test_a_call_by_name_wakes_what_it_is_for(place: Town, how: str) -> None:
    async with caller(place.town, "caller") as inside:
        for name in ("right", "recht"):
            assert (await inside.peer(f"http://{name}:8080/"))[0] == 200
            await place.hub.rested("right", how)
            status, told = await inside.peer(f"http://{name}:8080/some/path")
            assert (status, who(told)) == (200, "right")


async def test_a_service_runs_in_the_network_of_its_holder_and_keeps_its_address(place: Town) -> None:
    async with caller(place.town, "caller") as inside:
        for _ in range(2):
            assert (await inside.peer("http://right:8080/"))[0] == 200
            mode = inspected(place.town.container("right").id)["HostConfig"]["NetworkMode"]
            assert mode == f"container:{holder(place, 'right')}"
            await place.hub.rested("right", "stopped")


async def test_a_foreign_host_reaches_the_service_whose_address_was_called(place: Town) -> None:
    network = f"{place.town.name}_default"
    async with aiohttp.ClientSession() as session:
        for name in ("left", "right"):
            await place.hub.rested(name, "stopped")
            address = inspected(holder(place, name))["NetworkSettings"]["Networks"][network]["IPAddress"]
            async with session.get(f"http://{address}:8080/", headers={"Host": "shop.example"}) as response:
                assert (response.status, (await response.json())["service"]) == (200, name)


async def test_a_published_port_of_a_sleeping_service_answers(place: Town) -> None:
    for how in ("stopped", "paused"):
        assert (await asyncio.to_thread(fetch, place.port, "/"))[0] == 200
        await place.hub.rested("left", how)
        status, body = await asyncio.to_thread(fetch, place.port, "/")
        assert (status, json.loads(body)["service"]) == (200, "left")


async def test_its_host_name_is_what_its_file_says(place: Town) -> None:
    assert (await asyncio.to_thread(fetch, place.port, "/"))[0] == 200
    assert docker("exec", place.town.container("left").id, "hostname") == "sinister"


async def test_it_rests_when_nobody_calls_it(place: Town) -> None:
    async with caller(place.town, "caller") as inside:
        assert (await inside.peer("http://restless:8080/"))[0] == 200
        await eventually(lambda: place.hub.state("restless") in ASLEEP)
        assert (await inside.peer("http://restless:8080/"))[0] == 200


async def test_what_may_have_several_copies_is_reached_by_its_alias_as_before(place: Town) -> None:
    assert holder(place, "several") == ""
    async with caller(place.town, "caller") as inside:
        status, told = await inside.peer("http://several:8080/")
        assert (status, who(told)) == (200, "several")


async def test_a_service_whose_holder_was_killed_is_reached_again(place: Town) -> None:
    async with caller(place.town, "caller") as inside:
        for awake in (True, False):
            assert (await inside.peer("http://right:8080/"))[0] == 200
            if not awake:
                await place.hub.rested("right", "stopped")
            before = holder(place, "right")
            docker("kill", before)
            await eventually(lambda: bool(holder(place, "right")))
            await answers(inside, "right")


async def test_a_service_whose_holder_was_removed_is_reached_again(place: Town) -> None:
    async with caller(place.town, "caller") as inside:
        assert (await inside.peer("http://right:8080/"))[0] == 200
        before = holder(place, "right")
        docker("rm", "-f", before)
        await eventually(lambda: holder(place, "right") not in ("", before))
        await answers(inside, "right")


async def answers(inside: Caller, name: str) -> None:
    """Wait until it does, by its name."""
    end = time.monotonic() + 20
    status, told = await inside.peer(f"http://{name}:8080/", limit=10)
    while status != 200 and time.monotonic() < end:
        await asyncio.sleep(0.05)
        status, told = await inside.peer(f"http://{name}:8080/", limit=10)
    assert (status, who(told)) == (200, name), told


async def test_a_scaler_that_was_killed_takes_up_what_is_awake(place: Town) -> None:
    async with caller(place.town, "caller") as inside:
        for name in ("left", "right"):
            assert (await inside.peer(f"http://{name}:8080/"))[0] == 200
        await place.hub.rested("left", "paused")
        before, held = place.town.ids("left", "right"), holder(place, "right")
        await asyncio.to_thread(place.hub.kill, "scaler")
        for name in ("left", "right"):
            await answers(inside, name)
        assert place.town.ids("left", "right") == before
        assert holder(place, "right") == held
