"""Requests per service as the gateways count them, read only while something runs: asleep, the hub costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from services.scaler.core.events import Event, Flow, Traffic

_FASTEST, _SLOWEST = 0.1, 1.0


def interval(idle_timeouts: list[float]) -> float:
    """Seconds between readings: a fifth of the shortest idle time among what runs, within bounds. Use is dated when it
    is seen, so a service rests up to one interval late and never early."""
    return min(max(min(idle_timeouts, default=_SLOWEST) / 5, _FASTEST), _SLOWEST)


Read = Callable[[], Awaitable[Mapping[str, Flow] | None]]
"""What the gateways count; None where they cannot be asked."""


async def look(read: Read, services: Collection[str], post: Callable[[Event], None]) -> None:
    """Read once, for these services."""
    flows = await read()
    if seen := {name: flow for name, flow in (flows or {}).items() if name in services}:
        post(Traffic(seen))


async def watch(
    read: Read,
    running: Callable[[], Mapping[str, float]],
    awake: asyncio.Event,
    post: Callable[[Event], None],
) -> None:
    """Read for ever. `running`: services with a serving replica → idle timeout in seconds. Ends when cancelled."""
    while True:
        await awake.wait()
        services = running()
        if services:
            await look(read, services, post)
        await asyncio.sleep(interval(list(services.values())))
