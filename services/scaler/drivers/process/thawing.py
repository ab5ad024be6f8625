"""Programs that dislike being frozen: found by watching the seconds after a thaw.

A service found out once is stopped instead of paused until its entry changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from services.catalog.model import Service
from services.scaler.drivers.grudges import WATCHED
from services.scaler.drivers.process import readiness
from services.scaler.drivers.process.proc import TICKS, Process, lives
from services.scaler.drivers.process.replica import Replica

_LOOK = 0.5
_HEALTH_EVERY = 2.0
_ANSWER = 3.0
_SETTLED = 2.0
"""A child younger than this when it was frozen may just have been about to end."""


def worth_watching(members: Sequence[Process]) -> Sequence[Process]:
    """Of the members of a tree that is being frozen, those whose end after the thaw would tell something."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return [process for process in members if now - process.start / TICKS >= _SETTLED]


async def loss(service: Service, live: Replica, before: Sequence[Process]) -> str | None:
    """Watch a replica that was just thawed; what it lost, or None when it has lost nothing. Its own exit is not looked
    for here."""
    deadline = time.monotonic() + WATCHED
    next_health = time.monotonic() + _HEALTH_EVERY
    ill = 0
    while time.monotonic() < deadline:
        await asyncio.sleep(_LOOK)
        lost = [process for process in before if process.identity != live.root and not lives(process.identity)]
        if lost:
            names = ", ".join(sorted({process.name for process in lost}))
            return f"within {WATCHED:g} s of a thaw it lost {len(lost)} of its processes ({names})"
        if time.monotonic() >= next_health:
            said = await readiness.well(service, live.record.ports, _ANSWER)
            ill = ill + 1 if said else 0
            if ill > 1:
                return f"within {WATCHED:g} s of a thaw its health was lost ({said})"
            next_health = time.monotonic() + _HEALTH_EVERY
    return None
