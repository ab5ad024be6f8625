"""Parts die at random moments while clients go on: the laws that single kills are held to hold in any order."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from collections import Counter

import pytest

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import Client, Outcome, Verdict, client, together
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub
from tests.support.process_tree import alive, mentioning

pytestmark = [pytest.mark.envoy, pytest.mark.process]

KINDS = ("asyncio", "aiohttp", "go")
CLIENTS = 9
HONEST = {Verdict.SERVED, Verdict.REFUSED, Verdict.BAD_GATEWAY, Verdict.CUT, Verdict.CLOSED}


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_kills_leave_every_law_standing(workshop: Workshop, start_hub: StartHub, seed: int) -> None:
    await _storm(workshop, start_hub, seed, kills=6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10, 16))
async def test_a_long_storm_of_kills_leaves_every_law_standing(
    workshop: Workshop, start_hub: StartHub, seed: int
) -> None:
    await _storm(workshop, start_hub, seed, kills=60)


async def _storm(workshop: Workshop, start_hub: StartHub, seed: int, kills: int) -> None:
    dice = random.Random(seed)
    hub = start_hub({kind: workshop.upstream(kind, kind, rests=Rests(idle=0.4, stop_after=1.0)) for kind in KINDS})
    numbers = itertools.count()
    stop = asyncio.Event()
    async with client(hub.base, patience=40) as caller:
        users = [_use(caller, KINDS[n % len(KINDS)], numbers, stop, random.Random(seed + n)) for n in range(CLIENTS)]
        work = asyncio.gather(*users)
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.2, 2.0))
            await asyncio.to_thread(_strike, hub, workshop, dice)
        await asyncio.sleep(2.0)
        stop.set()
        outcomes = [outcome for found in await work for outcome in found]
        for kind in KINDS:
            await _again(hub, caller, kind)
    told = "\n".join(str(outcome) for outcome in outcomes if not outcome.ok) + hub.said()
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    print(dict(verdicts))
    assert verdicts.keys() <= HONEST, told
    assert verdicts[Verdict.SERVED] > len(outcomes) / 2, told
    for kind in KINDS:
        assert max(Counter(workshop.posts(kind)).values(), default=1) == 1
        assert len(mentioning(f"{workshop.folder}/{kind}.events")) <= 1


async def _use(
    caller: Client, kind: str, numbers: itertools.count[int], stop: asyncio.Event, dice: random.Random
) -> list[Outcome]:
    outcomes = []
    while not stop.is_set():
        call = dice.choice(
            [
                lambda: caller.get(kind, kind),
                lambda: caller.post(kind, 300_000, identifier=f"post-{next(numbers)}"),
                lambda: caller.stream(kind, 5, 0.05),
                lambda: caller.socket(kind, 5, 0.02),
            ]
        )
        outcomes.append(await call())
        await asyncio.sleep(dice.uniform(0.0, 1.2))
    return outcomes


def _strike(hub: Hub, workshop: Workshop, dice: random.Random) -> None:
    part = dice.choice(["service", "service", "scaler", "scaler", "envoy"])
    if part == "service":
        lines = (workshop.folder / f"{dice.choice(KINDS)}.events").read_text().splitlines()
        pid = int([line for line in lines if line.startswith("start ")][-1].split()[1])
    else:
        pid = hub.pids().get(part, 0)
    if pid and alive(pid):
        os.kill(pid, signal.SIGKILL)


async def _again(hub: Hub, caller: Client, kind: str) -> None:
    for _ in range(100):
        tally = await together([caller.get(kind, kind)])
        if tally.counts[Verdict.SERVED]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{tally.faults}\n{hub.said()}")
