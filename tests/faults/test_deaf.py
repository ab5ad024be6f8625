"""A program that closes its listener and lives on: what it has begun it ends, whoever comes gets a new one."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.catalogue import Workshop
from tests.support.clients import Verdict, client
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub

pytestmark = [pytest.mark.envoy, pytest.mark.process]

NAME = "svc"
NOTICED_WITHIN = 11.5
"""Two looks, five seconds apart, and what one of them may be late."""


async def test_callers_of_a_program_that_went_deaf_are_answered_by_a_new_one_once_the_old_ones_streams_are_over(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({NAME: workshop.upstream(NAME, "asyncio", "--alone")})
    async with client(hub.base, patience=30) as caller:
        first = await caller.get(NAME, "asyncio")
        stream = asyncio.create_task(caller.stream(NAME, 28, 0.5))
        await _in_flight(hub)
        status, _, body = await asyncio.to_thread(hub.ask, f"/api/{NAME}/deafen")
        assert (status, body) == (200, b"deaf")
        await hub.until(NAME, "draining", limit=NOTICED_WITHIN)
        held = [asyncio.create_task(caller.get(NAME, "asyncio")) for _ in range(5)]
        streamed = await stream
        outcomes = [await one for one in held]
    told = "\n".join(map(str, [streamed, *outcomes])) + hub.said()
    assert streamed.ok, told
    assert {outcome.verdict for outcome in outcomes} == {Verdict.SERVED}, told
    assert first.instance not in {outcome.instance for outcome in outcomes}, told
    assert workshop.starts(NAME) == 2
    assert "beside" not in (workshop.folder / f"{NAME}.events").read_text()
    assert "no longer listens" in hub.cli("explain", NAME).stdout


async def _in_flight(hub: Hub) -> None:
    """A reading has seen a request that goes on."""
    end = time.monotonic() + 5
    while "in flight" not in str(hub.command_api("GET", "/v1/status")["services"][NAME]["reason"]):
        assert time.monotonic() < end, hub.said()
        await asyncio.sleep(0.05)
