"""Services fall asleep and wake for hours in little: every request right, nothing left over, memory flat."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from statistics import median

import pytest

from tests.support import cycling
from tests.support.catalogue import Workshop
from tests.support.clients import client
from tests.support.cycling import Course
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub
from tests.support.upstreams import KINDS

pytestmark = [pytest.mark.envoy, pytest.mark.process]

MIB = 1 << 20


@pytest.mark.timeout(300)
async def test_services_sleep_and_wake_under_twenty_clients(workshop: Workshop, start_hub: StartHub) -> None:
    await _course(workshop, start_hub, cycles=120, limit=270)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_thousand_cycles_under_twenty_clients(workshop: Workshop, start_hub: StartHub) -> None:
    course = await _course(workshop, start_hub, cycles=1000, limit=3500)
    # A leak of 10 KiB a cycle would show here.
    assert _growth(course, "scaler") < 10 * MIB
    assert _growth(course, "envoy") < 10 * MIB


async def _course(workshop: Workshop, start_hub: StartHub, cycles: int, limit: float) -> Course:
    hub = start_hub(cycling.services(workshop))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(hub.base)) for _ in range(cycling.CLIENTS)]
        course = await cycling.run(hub, clients, cycles, limit)
    report = {
        "cycles": course.cycles,
        "by state": course.wakes,
        "requests": course.tally.total,
        "frozen beyond keep-alive": course.beyond_keep_alive,
        "growth of scaler, envoy in MiB": [_growth(course, part) / MIB for part in ("scaler", "envoy")],
    }
    print(json.dumps(report))
    course.tally.demand_all_served()
    assert course.cycles >= cycles
    assert set(course.beyond_keep_alive) == set(KINDS)
    await _nothing_left_over(workshop, hub, course)
    return course


async def _nothing_left_over(workshop: Workshop, hub: Hub, course: Course) -> None:
    for kind in KINDS:
        assert hub.cli("sleep", kind, "--to", "stopped").returncode == 0
        await hub.until(kind, "stopped")
    assert hub.left() == set(hub.pids().values()) | {hub.pids()["supervisor"]}
    assert list(hub.layout.replicas.iterdir()) == []
    # Each start of a program was a wake from `stopped`, the first, or one that met it on its way there.
    assert sum(workshop.starts(kind) for kind in KINDS) <= len(KINDS) + course.cycles
    last = cycling.Usage.of(hub).files
    for part in ("scaler", "envoy", "supervisor"):
        # Connections that are kept for a while come and go; a leak would outgrow what the first part of the run saw.
        early = max(usage.files[part] for usage in course.usage[: len(course.usage) // 3])
        assert last[part] <= early + 5, f"{part}: {early} files early, {last[part]} at last"
    assert _growth(course, "scaler") < 16 * MIB
    assert _growth(course, "envoy") < 32 * MIB


def _growth(course: Course, part: str) -> float:
    """Bytes by which the last fifth of the run lies above the second."""
    readings = [usage.memory[part] for usage in course.usage if part in usage.memory]
    fifth = max(1, len(readings) // 5)
    return median(readings[-fifth:]) - median(readings[fifth : 2 * fifth])
