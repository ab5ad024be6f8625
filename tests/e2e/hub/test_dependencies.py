"""Services that need each other wake in order and rest in reverse."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import client
from tests.support.hub import ASLEEP
from tests.support.hub_fixtures import StartHub

pytestmark = [pytest.mark.envoy, pytest.mark.process]


def started(workshop: Workshop, name: str) -> float:
    return (workshop.folder / f"{name}.events").stat().st_mtime


async def test_what_a_service_depends_on_is_ready_before_it_starts(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub(
        {
            "store": workshop.upstream("store", "asyncio", "--delay", "0.6"),
            "middle": workshop.upstream("middle", compose=needs("store")),
            "front": workshop.upstream("front", compose=needs("middle")),
        }
    )
    async with client(hub.base) as caller:
        assert (await caller.get("front", "asyncio")).ok
    assert hub.states() == {"store": "ready", "middle": "ready", "front": "ready"}
    assert started(workshop, "store") + 0.5 < started(workshop, "middle") < started(workshop, "front")
    assert [workshop.starts(name) for name in ("store", "middle", "front")] == [1, 1, 1]


async def test_a_used_service_stays_awake_while_its_user_does_and_rests_after_it(
    workshop: Workshop, start_hub: StartHub
) -> None:
    quick = Rests(idle=0.5)
    hub = start_hub(
        {
            "tool": workshop.upstream("tool", rests=quick),
            "agent": workshop.upstream("agent", rests=quick, hub={"uses": ["tool"]}),
        }
    )
    async with client(hub.base) as caller:
        work = asyncio.create_task(caller.slow("agent", 4.0))
        await hub.until("agent", "ready")
        await hub.until("tool", "ready")
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert hub.state("tool") not in ASLEEP
            await asyncio.sleep(0.1)
        assert (await work).ok
    await hub.asleep("agent")
    await hub.asleep("tool")
    assert (workshop.starts("agent"), workshop.starts("tool")) == (1, 1)


async def test_a_dependency_that_cannot_start_is_named_in_the_answer(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub(
        {
            "broken": workshop.faulty("broken", "dies", start_timeout=2.0),
            "front": workshop.upstream("front", compose=needs("broken")),
        }
    )
    status, _, body = hub.ask("/api/front/")
    assert status in (502, 503)
    assert b"broken" in body


def needs(other: str) -> dict[str, object]:
    return {"depends_on": {other: {"condition": "service_healthy"}}}
