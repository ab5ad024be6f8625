"""A hub whose services have holders: their names, ports and addresses stay, whatever becomes of their containers."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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
from tests.support.hub import ASLEEP, HubFailed
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
        "left": raw_too(web("left", rests=LONG, ports=[f"127.0.0.1:{port}:8080"], hostname="sinister")),
        "right": raw_too(web("right", rests=LONG, networks={"default": {"aliases": ["recht"]}})),
        "restless": web("restless", rests=SHORT),
        "several": web("several", rests=LONG, **{"x-hub": {"scaling": {**LONG, "max_replicas": 2}, "stateless": True}}),
    }


def raw_too(entry: dict[str, Any]) -> dict[str, Any]:
    """With a second port, of which the hub knows no more than that it is TCP."""
    hub = {key: value for key, value in entry["x-hub"].items() if key != "port"}
    ports = {"main": {"port": 8080}, "raw": {"port": 9000, "protocol": "tcp"}}
    environment = {**entry["environment"], "PORTS": "8080,9000"}
    return {**entry, "environment": environment, "x-hub": {**hub, "ports": ports}}


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


async def test_plain_ports_of_one_number_are_told_apart(place: Town) -> None:
    async with caller(place.town, "caller") as inside:
        for name in ("left", "right"):
            assert (await inside.peer(f"http://{name}:8080/"))[0] == 200
            status, told = await inside.peer(f"http://{name}:9000/")
            assert (status, who(told)) == (200, name)


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


async def test_a_project_goes_from_aliases_to_holders_and_back(tmp_path: Path) -> None:
    with projects(tmp_path, "town") as [town]:
        town.write({"caller": web("caller"), "right": web("right", rests=LONG)})
        for names in ("alias", "holder", "holder", "alias"):
            with docker_hub(tmp_path, [town], names=names) as hub:
                status, body = await asyncio.to_thread(fetch, hub.port, "/api/right/")
                assert (status, json.loads(body)["service"]) == (200, "right")
                async with caller(town, "caller") as inside:
                    await answers(inside, "right")
                mode = inspected(town.container("right").id)["HostConfig"]["NetworkMode"]
                assert mode.startswith("container:") == (names == "holder")


async def test_where_holders_cannot_be_had_the_hub_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with projects(tmp_path, "town") as [town]:
        town.write({"right": web("right", rests=LONG)})
        hub = DockerHub(tmp_path, [town], names="holder")
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "docker").symlink_to(str(shutil.which("docker")))
        try:
            with monkeypatch.context() as bare, pytest.raises(HubFailed) as told:
                bare.setenv("PATH", str(programs))
                hub.up()
        finally:
            hub.end()
            hub.remove()
        assert "ended with 2" in str(told.value)
        assert "nft, nsenter, dash is not on this machine: install nftables util-linux dash" in str(told.value)


async def test_holders_of_a_hub_that_was_killed_do_not_stand_in_the_way_of_aliases(tmp_path: Path) -> None:
    with projects(tmp_path, "town") as [town]:
        town.write({"caller": web("caller"), "right": web("right", rests=LONG)})
        killed = DockerHub(tmp_path, [town], names="holder")
        try:
            killed.up()
            assert (await asyncio.to_thread(fetch, killed.port, "/api/right/"))[0] == 200
            for part in ("supervisor", "scaler", "envoy"):
                killed.kill(part)
            with docker_hub(tmp_path, [town]) as hub:
                async with caller(town, "caller") as inside:
                    await answers(inside, "right")
                assert not hub.own_containers("aihub.holder")
        finally:
            killed.end()
            killed.remove()
