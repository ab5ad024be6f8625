"""Sixty services share a memory budget that holds a part of them: what is used fits and all is answered, or it does not
fit and whoever has to wait too long is told why. Either way the budget holds at every moment."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.catalogue import Rests
from tests.support.clients import Client, Outcome, Tally, Verdict, client
from tests.support.container_yard import Gauge, Yard, inspected
from tests.support.docker_hub import DockerHub, Project, docker

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

SERVICES = [f"tool{number:02}" for number in range(60)]
MEBIBYTE = 1 << 20
BARE = 24
"""MiB that a program without ballast takes at most, with its container."""
LOOK_EVERY = 0.2
IDLE = 1.5
DISTINCT = 30
"""So many services must have been used in a run for it to mean anything."""


@dataclass(frozen=True, slots=True)
class Scale:
    """One size of the experiment; MiB and seconds."""

    budget: int
    ballasts: tuple[int, ...]
    users: int
    seconds: float
    hold: float = 60.0


@dataclass(slots=True)
class Watched:
    """What was seen of the containers while the load ran."""

    sums: list[int] = field(default_factory=list)
    most: int = 0
    """Containers that took memory at the same time."""


async def test_what_fits_the_budget_is_always_answered(tmp_path: Path, project: MakeProject, start: StartHub) -> None:
    await _fits(tmp_path, project("fits"), start, Scale(2048, (12, 24, 40, 64, 96), users=8, seconds=28))


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_what_fits_eight_gigabytes_is_always_answered_for_ten_minutes(
    tmp_path: Path, project: MakeProject, start: StartHub
) -> None:
    await _fits(tmp_path, project("fits"), start, Scale(8192, (64, 128, 192, 256, 384), users=10, seconds=600))


async def test_what_does_not_fit_the_budget_is_answered_or_told_why_not(
    tmp_path: Path, project: MakeProject, start: StartHub
) -> None:
    scale = Scale(640, (12, 24, 40, 64, 96), users=20, seconds=14, hold=4.0)
    await _too_much(tmp_path, project("more"), start, scale)


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_what_does_not_fit_eight_gigabytes_is_answered_or_told_why_not_for_ten_minutes(
    tmp_path: Path, project: MakeProject, start: StartHub
) -> None:
    scale = Scale(8192, (64, 128, 192, 256, 384), users=140, seconds=600, hold=15.0)
    await _too_much(tmp_path, project("more"), start, scale)


async def _fits(folder: Path, made: Project, start: StartHub, scale: Scale) -> None:
    yard = Yard(folder)
    hub = _up(yard, made, start, scale)
    async with client(hub.base, patience=90) as asker, _observed(made, scale) as watched:
        end = time.monotonic() + scale.seconds
        users = [_wander(asker, end, random.Random(number)) for number in range(scale.users)]
        outcomes = [outcome for found in await asyncio.gather(*users) for outcome in found]
    used = [name for name in SERVICES if yard.starts(name)]
    _tell(scale, outcomes, watched, yard)
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    assert tally.counts[Verdict.SERVED] == tally.total, "\n".join([*tally.faults, hub.said()])
    assert len(used) > DISTINCT
    assert sum(_size(name, scale) for name in used) > scale.budget, "the budget was never short"
    _held(hub, yard, scale, watched)


async def _too_much(folder: Path, made: Project, start: StartHub, scale: Scale) -> None:
    yard = Yard(folder)
    hub = _up(yard, made, start, scale)
    async with client(hub.base, patience=90) as asker, _observed(made, scale) as watched:
        end = time.monotonic() + scale.seconds
        users = [_insist(asker, end, random.Random(number)) for number in range(scale.users)]
        outcomes = [outcome for found in await asyncio.gather(*users) for outcome in found]
        _tell(scale, outcomes, watched, yard)
        afterwards = [await asker.get(name, "asyncio") for name in SERVICES[:3]]
    refused = [outcome for outcome in outcomes if not outcome.ok]
    told = "\n".join([*map(str, refused[:20]), hub.said()])
    assert {outcome.verdict for outcome in outcomes} == {Verdict.SERVED, Verdict.REFUSED}, told
    assert {outcome.status for outcome in refused} == {503}, told
    assert [str(outcome) for outcome in refused if not _says_why(outcome)] == [], told
    assert any("are in use by services that are busy" in outcome.detail for outcome in refused), told
    assert all(outcome.ok for outcome in afterwards), "\n".join(map(str, afterwards))
    _held(hub, yard, scale, watched)


def _up(yard: Yard, made: Project, start: StartHub, scale: Scale) -> DockerHub:
    made.write({name: _entry(yard, name, scale) for name in SERVICES})
    hub = start(made, memory=f"{scale.budget}M")
    # As a deployment leaves them, so that the run is about rooms and not about sixty calls of compose.
    made.compose("--profile", "on-demand", "create")
    return hub


def _entry(yard: Yard, name: str, scale: Scale) -> object:
    """It may take what it takes and no more: whatever goes beyond is ended by the kernel, which would be seen."""
    ballast = str(_ballast(name, scale))
    rests = Rests(idle=IDLE, stop_after=900)
    return yard.upstream(
        name, "asyncio", "--ballast", ballast, rests=rests, memory=f"{_size(name, scale)}M", hold=scale.hold
    )


def _ballast(name: str, scale: Scale) -> int:
    return scale.ballasts[SERVICES.index(name) % len(scale.ballasts)]


def _size(name: str, scale: Scale) -> int:
    return _ballast(name, scale) + BARE


async def _wander(asker: Client, end: float, dice: random.Random) -> list[Outcome]:
    """One person: some requests of one service, a pause, then another service."""
    outcomes = []
    while time.monotonic() < end:
        name = dice.choice(SERVICES)
        for _ in range(dice.randint(1, 4)):
            outcomes.append(await _any_request(asker, name, dice))
            await asyncio.sleep(dice.uniform(0.0, 0.3))
    return outcomes


def _any_request(asker: Client, name: str, dice: random.Random) -> Awaitable[Outcome]:
    match dice.randrange(5):
        case 0:
            return asker.get(name, "asyncio")
        case 1:
            return asker.post(name, 200_000)
        case 2:
            return asker.stream(name, 8, 0.05)
        case 3:
            return asker.slow(name, 0.4)
        case _:
            return asker.socket(name, 5, 0.03)


async def _insist(asker: Client, end: float, dice: random.Random) -> list[Outcome]:
    """One of too many people, each with something long to do at a service of its own choice."""
    outcomes = []
    while time.monotonic() < end:
        outcome = await asker.slow(dice.choice(SERVICES), dice.uniform(2.0, 6.0))
        outcomes.append(outcome)
        if not outcome.ok:
            await asyncio.sleep(dice.uniform(0.2, 1.0))
    return outcomes


@asynccontextmanager
async def _observed(made: Project, scale: Scale) -> AsyncIterator[Watched]:
    """Read what all containers take, again and again; and hear of each that the kernel ends for want of memory."""
    watched, gauge = Watched(), Gauge(made)
    await asyncio.to_thread(gauge.look_up)

    async def look() -> None:
        while True:
            found = await asyncio.to_thread(gauge.read)
            watched.sums.append(sum(load.memory for load in found))
            watched.most = max(watched.most, len(found))
            await asyncio.sleep(LOOK_EVERY)

    with _no_oom(made):
        looking = asyncio.create_task(look())
        try:
            yield watched
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


@contextmanager
def _no_oom(made: Project) -> Iterator[None]:
    wanted = ["--filter", f"label=com.docker.compose.project={made.name}", "--filter", "event=oom"]
    hearing = subprocess.Popen(["docker", "events", *wanted], stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        hearing.terminate()
        said, _ = hearing.communicate()
    assert not said, f"ended for want of memory:\n{said}"


def _says_why(outcome: Outcome) -> bool:
    """There is no room, or its turn has not come, or it has but was not ready in time."""
    return any(f'"code": "{code}"' in outcome.detail for code in ("no-room", "waiting"))


def _held(hub: DockerHub, yard: Yard, scale: Scale, watched: Watched) -> None:
    over = [total // MEBIBYTE for total in watched.sums if total > scale.budget * MEBIBYTE]
    assert not over, f"over {scale.budget} MiB at {len(over)} of {len(watched.sums)} looks: {over}\n{hub.said()}"
    assert not [one["Name"] for one in inspected(hub.projects[0]) if one["State"]["OOMKilled"]]
    assert not any(yard.beside(name) for name in SERVICES if yard.starts(name))
    assert (
        len(docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={hub.projects[0].name}").split()) == 60
    )


def _tell(scale: Scale, outcomes: list[Outcome], watched: Watched, yard: Yard) -> None:
    """For who reads the run: how close to its bounds it came."""
    waits = sorted(outcome.elapsed for outcome in outcomes)
    print(
        f"{len(outcomes)} requests, {sum(outcome.ok for outcome in outcomes)} served,"
        f" median {waits[len(waits) // 2]:.3f} s, longest {waits[-1]:.2f} s;"
        f" at most {max(watched.sums) // MEBIBYTE} of {scale.budget} MiB in {watched.most} containers,"
        f" {len(watched.sums)} looks; {sum(yard.starts(name) for name in SERVICES)} starts"
    )
