"""Memory and CPU of what runs, every few seconds, from the driver's own books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from services.scaler.core.events import Event, ReplicaId
from services.scaler.drivers.base import Driver

INTERVAL = 5.0
"""Seconds."""


async def look(driver: Driver, replicas: Sequence[ReplicaId], post: Callable[[Event], None]) -> None:
    """Measure these once."""
    for reading in await driver.measure(replicas):
        post(reading)


async def watch(
    driver: Driver,
    running: Callable[[], Sequence[ReplicaId]],
    awake: asyncio.Event,
    post: Callable[[Event], None],
    interval: float = INTERVAL,
) -> None:
    """Measure for ever; ends when cancelled."""
    while True:
        await awake.wait()
        await asyncio.sleep(interval)
        await look(driver, running(), post)
