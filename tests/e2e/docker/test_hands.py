"""What other people do to containers of a hub that runs: every later request is answered, and the states are right."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import (
    IMAGE,
    DockerHub,
    Project,
    docker,
    docker_hub,
    eventually,
    projects,
    web,
)

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

LONG = {"idle_timeout": "5m", "stop_after": "15m"}
IN_THE_MIDST = {"stopped": ("stop", "-t", "1"), "killed": ("kill",), "removed": ("rm", "-f")}
AT_ONCE = 5.0
"""Seconds in which a request is answered whatever was done just before it."""


@dataclass(frozen=True, slots=True)
class Yard:
    hub: DockerHub
    project: Project

    def ask(self, name: str, path: str = "/") -> tuple[int, Any]:
        status, _, body = self.hub.ask(f"/api/{name}{path}")
        return status, json.loads(body)

    async def answers(self, name: str, within: float = AT_ONCE) -> None:
        begun = time.monotonic()
        status, told = await asyncio.to_thread(self.ask, name)
        assert (status, told.get("service")) == (200, name), told
        assert time.monotonic() - begun < within

    def id(self, name: str) -> str:
        return self.project.container(name).id


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """One hub for all tests of this module, and a service of its own for each."""
    names = ("started", "frozen", "thawed", "renamed", "killed", "stopped", "removed", "gone")
    entries = {name: web(name, rests=LONG) for name in names}
    for how in IN_THE_MIDST:
        entries[f"midst-{how}"] = web(f"midst-{how}", rests=LONG, environment={"START_DELAY": "1.5"})
    entries["greedy"] = web("greedy", rests=LONG, mem_limit="64m", memswap_limit="64m")
    folder = tmp_path_factory.mktemp("hands")
    with projects(folder, "yard") as [project]:
        project.write(entries)
        with docker_hub(folder, [project]) as hub:
            yield Yard(hub, project)


async def test_one_that_is_started_by_hand_is_awake_and_rests_again(yard: Yard) -> None:
    await yard.answers("started")
    await yard.hub.rested("started", "stopped")
    docker("start", yard.id("started"))
    await yard.hub.until("started", "ready")
    await yard.answers("started")
    await yard.hub.rested("started", "paused")
    await yard.answers("started")


@pytest.mark.parametrize(
    ("name", "command"),
    [("stopped", ("stop", "-t", "1")), ("killed", ("kill",)), ("removed", ("rm", "-f"))],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_one_that_is_ended_by_hand_comes_back_with_the_next_request(
    yard: Yard, name: str, command: tuple[str, ...]
) -> None:
    """Oftener than a program may crash in a minute: it is no fault of the program's."""
    for _ in range(8):
        await yard.answers(name)
        docker(*command, yard.id(name))
        await yard.answers(name)
    docker(*command, yard.id(name))
    await yard.hub.until(name, "stopped")
    await yard.answers(name)
    await yard.hub.rested(name, "paused")
    docker(*command, yard.id(name))
    await yard.hub.until(name, "stopped")
    await yard.answers(name)


@pytest.mark.parametrize("how", IN_THE_MIDST)
async def test_a_request_is_answered_although_somebody_ends_what_starts_for_it(yard: Yard, how: str) -> None:
    name = f"midst-{how}"
    asking = asyncio.create_task(asyncio.to_thread(yard.ask, name))
    await eventually(lambda: [one.state for one in yard.project.containers(name)] == ["running"])
    docker(*IN_THE_MIDST[how], yard.id(name))
    status, told = await asking
    assert (status, told.get("service")) == (200, name), told
    assert "by somebody else: while it started" in yard.hub.said()


async def test_one_that_is_removed_asleep_is_made_again(yard: Yard) -> None:
    await yard.answers("gone")
    await yard.hub.rested("gone", "stopped")
    before = yard.id("gone")
    docker("rm", before)
    await yard.answers("gone")
    assert yard.id("gone") != before


async def test_one_that_is_frozen_by_hand_answers(yard: Yard) -> None:
    await yard.answers("frozen")
    docker("pause", yard.id("frozen"))
    await yard.answers("frozen")
    await yard.hub.until("frozen", "ready")
    await yard.hub.rested("frozen", "paused")
    assert yard.project.container("frozen").state == "paused"
    await yard.answers("frozen")


async def test_one_that_is_thawed_by_hand_is_awake_and_rests_again(yard: Yard) -> None:
    await yard.answers("thawed")
    await yard.hub.rested("thawed", "paused")
    docker("unpause", yard.id("thawed"))
    await yard.hub.until("thawed", "ready")
    await yard.answers("thawed")
    await yard.hub.rested("thawed", "paused")
    assert yard.project.container("thawed").state == "paused"


async def test_one_that_is_renamed_goes_on(yard: Yard) -> None:
    await yard.answers("renamed")
    docker("rename", yard.id("renamed"), f"{yard.project.name}-other-name")
    await yard.answers("renamed")
    await yard.hub.rested("renamed", "stopped")
    await yard.answers("renamed")
    [replica] = yard.hub.replicas("renamed")
    assert replica["container"] == f"{yard.project.name}-other-name"


async def test_one_that_goes_over_its_memory_limit_comes_back_and_the_reason_is_told(yard: Yard) -> None:
    await yard.answers("greedy")
    await asyncio.to_thread(yard.hub.ask, "/api/greedy/grow?mb=200")
    await yard.hub.until("greedy", "stopped")
    await yard.answers("greedy")
    assert "went over its memory limit" in yard.hub.said()


async def test_a_changed_entry_is_taken_up_at_the_next_rest_and_never_under_a_request(
    project: MakeProject, start: StartHub
) -> None:
    shop, entries = project("shop"), {"svc": web("svc", rests=LONG), "other": web("other", rests=LONG)}
    shop.write(entries)
    yard = Yard(start(shop), shop)
    await yard.answers("svc")
    await yard.answers("other")
    before = shop.ids("svc", "other")
    work = asyncio.create_task(asyncio.to_thread(yard.ask, "svc", "/delay?seconds=3"))
    await asyncio.sleep(0.2)
    entries["svc"] = web("svc", rests=LONG, environment={"GREETING": "new"})
    shop.write(entries)
    await eventually(lambda: "took in the catalogue" in yard.hub.said())
    assert not work.done()
    assert await work == (200, {"waited": 3.0})
    assert shop.ids("svc", "other") == before
    await yard.hub.rested("svc", "stopped")
    await yard.answers("svc")
    assert yard.ask("svc", "/environment")[1]["GREETING"] == "new"
    assert shop.container("svc").id != before["svc"]
    # Changed while it is frozen: the next request finds the new one.
    await yard.hub.rested("svc", "paused")
    entries["svc"] = web("svc", rests=LONG, environment={"GREETING": "newer"})
    readings = yard.hub.said().count("took in the catalogue")
    shop.write(entries)
    await eventually(lambda: yard.hub.said().count("took in the catalogue") > readings)
    await yard.answers("svc", within=10)
    assert yard.ask("svc", "/environment")[1]["GREETING"] == "newer"
    assert shop.container("other").id == before["other"]


async def test_another_image_under_the_same_name_is_taken_up_and_a_removed_one_does_not_hinder(
    project: MakeProject, start: StartHub
) -> None:
    shop = project("shop")
    image = f"{shop.name}:1"
    docker("tag", IMAGE, image)
    try:
        shop.write({"svc": web("svc", rests=LONG, image=image)})
        yard = Yard(start(shop), shop)
        await yard.answers("svc")
        first = shop.container("svc")
        derived(image)
        await yard.hub.rested("svc", "stopped")
        await yard.answers("svc")
        second = shop.container("svc")
        assert second.image != first.image
        # The image is gone, its container is there: enough to go on with.
        await yard.hub.rested("svc", "stopped")
        docker("rmi", "-f", image)
        await yard.answers("svc")
        assert shop.container("svc").id == second.id
    finally:
        docker("rmi", "-f", image, check=False)


def derived(image: str) -> None:
    """Another image under this name, made in no time."""
    made = docker("create", IMAGE)
    docker("commit", "-c", "LABEL second=yes", made, image)
    docker("rm", made)
