"""Waking and resting again and again leaves nothing behind: no container, no network, no descriptor, no memory."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.catalogue import Rests
from tests.support.clients import Client, Outcome, client
from tests.support.container_yard import Yard
from tests.support.cycling import MEGABYTE, Usage
from tests.support.docker_hub import DockerHub, Project, docker
from tests.support.hub import ASLEEP
from tests.support.process_tree import descendants

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

NAMES = ("north", "east", "south", "west")
IDLE, STOP_AFTER = 0.2, 0.5
GROWTH = 6 * MEGABYTE
"""What the scaler may have grown by between a quarter of the way and its end."""
LOOSE = 12
"""Descriptors that come and go: connections to the engine, checks, commands."""


async def test_two_hundred_wakes_and_rests_leave_nothing_behind(
    tmp_path: Path, project: MakeProject, start: StartHub
) -> None:
    await _cycle(tmp_path, project("cycles"), start, 200)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_two_thousand_wakes_and_rests_leave_nothing_behind(
    tmp_path: Path, project: MakeProject, start: StartHub
) -> None:
    await _cycle(tmp_path, project("cycles"), start, 2000)


async def _cycle(folder: Path, made: Project, start: StartHub, cycles: int) -> None:
    yard = Yard(folder)
    rests = Rests(idle=IDLE, stop_after=STOP_AFTER)
    made.write({name: yard.upstream(name, "asyncio", "--alone", rests=rests) for name in NAMES})
    hub = start(made)
    async with client(hub.base, patience=30) as caller:
        for name in NAMES:
            assert (await caller.get(name, "asyncio")).ok, hub.said()
        before = await _everything(hub, made)
        begun = time.monotonic()
        quarter = await _rounds(hub, caller, cycles // 4)
        early = Usage.of(hub)
        rest = await _rounds(hub, caller, cycles - cycles // 4)
        took = time.monotonic() - begun
    assert [str(outcome) for outcome in quarter + rest if not outcome.ok] == [], hub.said()
    assert await _everything(hub, made) == before
    late = Usage.of(hub)
    told = f"{early} {late} {took:.1f} s"
    print(told, {name: yard.starts(name) for name in NAMES})
    assert late.memory["scaler"] < early.memory["scaler"] + GROWTH, told
    for part, held in late.files.items():
        assert held < early.files[part] + LOOSE, told
    assert sum(yard.starts(name) for name in NAMES) > cycles / 10, "hardly any of them was ever stopped"
    assert not any(yard.beside(name) for name in NAMES)


async def _rounds(hub: DockerHub, caller: Client, cycles: int) -> list[Outcome]:
    """Every service wakes from its rest and rests again so many times in all; most rests are pauses."""
    share = -(-cycles // len(NAMES))
    work = [_round(hub, caller, name, share, random.Random(f"{name} {cycles}")) for name in NAMES]
    return [outcome for outcomes in await asyncio.gather(*work) for outcome in outcomes]


async def _round(hub: DockerHub, caller: Client, name: str, count: int, dice: random.Random) -> list[Outcome]:
    outcomes = []
    for _ in range(count):
        wanted: Collection[str] = {"stopped"} if dice.random() < 0.25 else ASLEEP
        await hub.until(name, wanted, limit=30)
        outcomes.append(await caller.get(name, "asyncio"))
    return outcomes


async def _everything(hub: DockerHub, made: Project) -> dict[str, object]:
    """What a leak would add to, when all is at rest."""
    for name in NAMES:
        await hub.until(name, "stopped", limit=30)
    networks = docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={made.name}")
    own = docker("network", "ls", "-q", "--filter", f"label=aihub.data={hub.mark}")
    return {
        "containers": made.ids(*NAMES),
        "of the hub": sorted(hub.own_containers()),
        "networks": sorted([*networks.split(), *own.split()]),
        "processes": len(descendants(hub.pids()["supervisor"])),
        "records": sorted(os.listdir(hub.layout.replicas)),
    }
