"""A memory budget: services that do not fit together take turns, what is in use is never ended for another."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import client, together
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub

pytestmark = [pytest.mark.envoy, pytest.mark.process]

BUDGET = "256M"
NAMES = ("one", "two", "three")


def large(workshop: Workshop, name: str, hold: float = 60.0) -> dict[str, object]:
    """A service that really takes more than half of the budget of these tests."""
    return workshop.upstream(name, "asyncio", "--ballast", "150", memory="200M", hold=hold, rests=Rests(rest="stopped"))


def alive_together(hub: Hub) -> int:
    return sum(state in ("starting", "ready", "draining", "paused") for state in hub.states().values())


async def test_services_that_do_not_fit_at_once_take_turns(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({name: large(workshop, name) for name in NAMES}, memory=BUDGET)
    async with client(hub.base) as caller:
        for _ in range(2):
            for name in NAMES:
                outcome = await caller.get(name, "asyncio")
                assert outcome.ok, f"{outcome}\n{hub.said()}"
                assert alive_together(hub) == 1
        tally = await together([caller.get(name, "asyncio") for name in NAMES * 3])
    tally.demand_all_served()


async def test_no_room_is_said_with_its_reason_and_nothing_in_use_is_ended(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"busy": large(workshop, "busy"), "late": large(workshop, "late", hold=2.0)}, memory=BUDGET)
    async with client(hub.base) as caller:
        work = asyncio.create_task(caller.slow("busy", 8.0))
        await hub.until("busy", "ready")
        begun = time.monotonic()
        status, headers, body = await asyncio.to_thread(hub.ask, "/api/late/")
        assert status == 503
        assert 1.5 < time.monotonic() - begun < 6
        assert json.loads(body)["error"]["code"] == "no-room"
        assert "retry-after" in headers
        assert (await work).ok
        outcome = await caller.get("late", "asyncio")
    assert outcome.ok, outcome
    assert (workshop.starts("busy"), workshop.starts("late")) == (1, 1)


async def test_a_service_larger_than_the_whole_budget_is_refused_at_once(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"giant": workshop.upstream("giant", memory="4G")}, memory=BUDGET)
    begun = time.monotonic()
    status, _, body = hub.ask("/api/giant/")
    assert status == 503
    assert time.monotonic() - begun < 5
    assert json.loads(body)["error"]["code"] == "no-room"
    assert b"256" in body
    assert workshop.starts("giant") == 0


async def test_many_waiting_services_are_served_in_turn_and_none_starves(
    workshop: Workshop, start_hub: StartHub
) -> None:
    names = [f"svc{number}" for number in range(6)]
    hub = start_hub({name: large(workshop, name) for name in names}, memory=BUDGET)
    async with client(hub.base) as caller:
        tally = await together([caller.slow(name, 0.3) for name in names for _ in range(2)])
    tally.demand_all_served()
    assert {workshop.starts(name) for name in names} == {1}
