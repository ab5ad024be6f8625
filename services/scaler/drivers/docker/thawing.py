"""Programs that dislike being frozen, as far as a container shows it: it ends, or its health is lost, soon after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.catalog.model import Service
from services.scaler.drivers.docker import readiness
from services.scaler.drivers.docker.records import Phase
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.grudges import WATCHED

_ANSWER_AFTER_THAW = 30.0
_AT_ONCE = 1.0
"""Seconds after a thaw in which what bears it has mostly answered."""
_HEALTH_EVERY = 2.0
_ANSWER = 3.0


async def bring_back(service: Service, live: Replica, thaw: Callable[[Replica], Awaitable[None]]) -> str | None:
    """Thaw it and see it answer; None, or why it does not. Raises EngineRefused, EngineAway."""
    await thaw(live)
    live.meddled = False
    live.become(Phase.READY)
    said = await readiness.until_back(service, live, _AT_ONCE)
    if said is not None and not live.ended.done():
        # Frozen all the same: an engine takes in late what its runtime did, and may not have known of the freeze.
        await thaw(live)
        said = await readiness.until_back(service, live, _ANSWER_AFTER_THAW - _AT_ONCE)
    return said


async def loss(service: Service, live: Replica) -> str | None:
    """Watch a replica that was just thawed; what it lost, or None when it has lost nothing. Its end is not looked for
    here."""
    deadline = time.monotonic() + WATCHED
    ill = 0
    while time.monotonic() < deadline:
        await asyncio.wait({live.ended}, timeout=_HEALTH_EVERY)
        if live.ended.done():
            # Told with the news of its end, which comes while this still waits.
            await asyncio.sleep(_ANSWER)
            return None
        said = await readiness.well(service, live.record.endpoints, _ANSWER)
        ill = ill + 1 if said else 0
        if ill > 1:
            return f"within {WATCHED:g} s of a thaw its health was lost ({said})"
    return None
