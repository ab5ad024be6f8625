"""Many at once: one start for all of them, starts capped, bodies not hoarded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import Outcome, client, together
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub
from tests.support.process_tree import memory

pytestmark = [pytest.mark.envoy, pytest.mark.process]

MIB = 1 << 20
STARTS_AT_ONCE = 16
"""More than any host of ours starts at a time; fifty at once would show."""


@pytest.mark.parametrize("kind", ["asyncio", "aiohttp", "gunicorn"])
async def test_two_hundred_clients_of_a_sleeping_service_cost_one_start(
    workshop: Workshop, start_hub: StartHub, kind: str
) -> None:
    hub = start_hub({"crowd": workshop.upstream("crowd", kind, "--delay", "3")})
    body = os.urandom(200_000)
    async with client(hub.base) as caller:
        gets = [caller.get("crowd", kind) for _ in range(100)]
        posts = [caller.post("crowd", len(body), identifier=f"p{n}", body=body) for n in range(100)]
        tally = await together([call for pair in zip(gets, posts, strict=True) for call in pair])
    tally.demand_all_served()
    assert tally.total == 200
    assert workshop.starts("crowd") == 1
    assert sorted(workshop.posts("crowd")) == sorted(f"p{n}" for n in range(100))


async def test_those_who_come_at_the_moment_of_readiness_do_not_overtake_those_who_waited(
    workshop: Workshop, start_hub: StartHub
) -> None:
    """A program that is up at once, with a backlog of five: part of the crowd comes when it is ready already."""
    hub = start_hub({"crowd": workshop.upstream("crowd", "asyncio", "--think", "0.02")})
    body = os.urandom(200_000)

    async def late(number: int) -> Outcome:
        await asyncio.sleep(number * 0.002)
        return await caller.post("crowd", len(body), identifier=f"p{number}", body=body)

    async with client(hub.base) as caller:
        tally = await together([late(number) for number in range(150)])
    tally.demand_all_served()
    assert len(workshop.posts("crowd")) == 150


async def test_a_program_that_accepts_slowly_is_never_overrun_by_those_who_waited(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"crowd": workshop.upstream("crowd", "asyncio", "--delay", "3", "--think", "0.03")})
    body = os.urandom(200_000)
    async with client(hub.base) as caller:
        tally = await together([caller.post("crowd", len(body), identifier=f"p{n}", body=body) for n in range(150)])
    tally.demand_all_served()
    assert len(workshop.posts("crowd")) == 150


async def test_two_hundred_clients_of_a_frozen_service_thaw_it_once(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({"crowd": workshop.upstream("crowd", "aiohttp", rests=Rests(idle=0.5))})
    body = os.urandom(200_000)
    async with client(hub.base) as caller:
        (await together([caller.get("crowd")])).demand_all_served()
        await hub.until("crowd", "paused")
        gets = [caller.get("crowd", "aiohttp") for _ in range(100)]
        posts = [caller.post("crowd", len(body), body=body) for _ in range(100)]
        tally = await together([*gets, *posts])
    tally.demand_all_served()
    assert workshop.starts("crowd") == 1


async def test_fifty_sleeping_services_hit_at_once_all_answer_and_their_starts_are_capped(
    workshop: Workshop, start_hub: StartHub
) -> None:
    names = [f"svc{n:02}" for n in range(50)]
    hub = start_hub({name: workshop.upstream(name, "asyncio", "--delay", "0.1") for name in names})
    async with client(hub.base) as caller:
        calls = asyncio.gather(*(caller.get(name, "asyncio") for name in names))
        most = await _highest(lambda: _starting(hub), calls)
        outcomes: list[Outcome] = await calls
    assert [str(outcome) for outcome in outcomes if not outcome.ok] == []
    assert {workshop.starts(name) for name in names} == {1}
    assert 1 <= most <= STARTS_AT_ONCE


async def test_three_hundred_held_uploads_of_3_mb_keep_envoy_under_250_mb(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"uploads": workshop.upstream("uploads", "aiohttp", "--delay", "4")})
    envoy = hub.pids()["envoy"]
    body = os.urandom(3_000_000)
    async with client(hub.base, patience=110) as caller:
        calls = asyncio.gather(*(caller.post("uploads", len(body), body=body) for _ in range(300)))
        most = await _highest(lambda: memory(envoy), calls)
        outcomes: list[Outcome] = await calls
    assert [str(outcome) for outcome in outcomes if not outcome.ok] == []
    assert workshop.starts("uploads") == 1
    assert most < 250 * MIB, f"{most / MIB:.0f} MiB"


async def _highest(reading: Callable[[], int], work: asyncio.Future[list[Outcome]]) -> int:
    """The highest reading while the work goes on."""
    most = 0
    while not work.done():
        most = max(most, await asyncio.to_thread(reading))
        await asyncio.wait([work], timeout=0.03)
    return most


def _starting(hub: Hub) -> int:
    return sum(state == "starting" for state in hub.states().values())
