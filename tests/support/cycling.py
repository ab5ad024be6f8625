"""Sleep and wake, again and again, with clients that do not know of it: the long test and its short form."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import Client, Outcome, Tally
from tests.support.hub import ASLEEP, Hub
from tests.support.process_tree import files, memory
from tests.support.upstreams import KINDS, WITHOUT_WEBSOCKET

IDLE = 0.3
KEEP_ALIVE = 2.0
STOP_AFTER = 4.0
CLIENTS = 20
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What the hub's own processes hold."""

    memory: dict[str, int]
    files: dict[str, int]

    @classmethod
    def of(cls, hub: Hub) -> Usage:
        pids = {part: pid for part, pid in hub.pids().items() if part in ("scaler", "envoy", "supervisor")}
        return cls({part: memory(pid) for part, pid in pids.items()}, {part: files(pid) for part, pid in pids.items()})


@dataclass(slots=True)
class Course:
    """What happened in one run."""

    tally: Tally = field(default_factory=Tally)
    wakes: Counter[str] = field(default_factory=Counter)
    """Times a service was seen asleep and then served, by the state it slept in."""
    beyond_keep_alive: Counter[str] = field(default_factory=Counter)
    """By kind: how often it was frozen for longer than it keeps a connection."""
    usage: list[Usage] = field(default_factory=list)

    @property
    def cycles(self) -> int:
        return self.wakes.total()


def services(workshop: Workshop) -> dict[str, object]:
    rests = Rests(idle=IDLE, stop_after=STOP_AFTER)
    return {kind: workshop.upstream(kind, kind, "--keep-alive", str(KEEP_ALIVE), rests=rests) for kind in KINDS}


async def run(hub: Hub, clients: list[Client], cycles: int, limit: float, seed: int = 7) -> Course:
    """Run until every service has slept and woken its share of `cycles`. Raises TimeoutError after `limit` seconds."""
    course = Course()
    share = -(-cycles // len(KINDS))
    async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
        watch = group.create_task(_watch(hub, course))
        rounds = [
            group.create_task(
                _rounds(hub, kind, clients[number :: len(KINDS)], share, course, random.Random(seed + number))
            )
            for number, kind in enumerate(KINDS)
        ]
        await asyncio.wait(rounds)
        watch.cancel()
    return course


async def _rounds(hub: Hub, kind: str, callers: list[Client], share: int, course: Course, dice: random.Random) -> None:
    """One service: a burst of its clients, then a rest that at times ends just as the service falls asleep."""
    done = 0
    while done < share:
        slept, since = await _rest(hub, kind, dice)
        if slept in ASLEEP:
            done += 1
            course.wakes[slept] += 1
            if slept == "paused" and since > KEEP_ALIVE:
                course.beyond_keep_alive[kind] += 1
        for outcome in await asyncio.gather(*(_use(caller, kind, dice) for caller in callers)):
            course.tally.add(outcome)


async def _rest(hub: Hub, kind: str, dice: random.Random) -> tuple[str, float]:
    """Return the state the service was left in and how long it had been seen in it, seconds."""
    style = dice.random()
    if style < 0.15:
        # Come back just when it is about to sleep: the wake meets a drain, a withdrawal, a freeze.
        await asyncio.sleep(dice.uniform(0.5, 4.0) * IDLE)
        return "unseen", 0.0
    if style < 0.20:
        return await hub.until(kind, "stopped", limit=30), 0.0
    state = await hub.asleep(kind, limit=30)
    begun = time.monotonic()
    if style < 0.40:
        await asyncio.sleep(KEEP_ALIVE + 0.4)
    return state, time.monotonic() - begun


def _use(caller: Client, kind: str, dice: random.Random) -> Awaitable[Outcome]:
    uses = [
        lambda: caller.get(kind, kind),
        lambda: caller.post(kind, MEGABYTE, chunked=dice.random() < 0.5),
        lambda: caller.stream(kind, 5, 0.03),
        lambda: caller.sized(kind, MEGABYTE),
    ]
    if kind not in WITHOUT_WEBSOCKET:
        uses.append(lambda: caller.socket(kind, 5, 0.02))
    return dice.choice(uses)()


async def _watch(hub: Hub, course: Course) -> None:
    while True:
        course.usage.append(await asyncio.to_thread(Usage.of, hub))
        await asyncio.sleep(1.0)
