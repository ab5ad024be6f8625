"""From a program that runs to a replica that is ready, or to a sentence that says why not.

Three things can come first: it answers, it dies, its time is over. Each failure is told with what the program itself
said last, since that is what mends it.
"""

from __future__ import annotations

import asyncio
import contextlib

from services.catalog.model import Service
from services.scaler.drivers.base import StartError
from services.scaler.drivers.process import readiness
from services.scaler.drivers.process.replica import Replica

_ALIVE_WITHOUT_PORT = 0.2
"""A service without a port is ready when it has lived so many seconds."""

_LEFT = (
    ", although a child of it listens: keep it in the foreground (its command may have --foreground, or a way not to"
    " become a daemon)"
)


async def until_ready(service: Service, live: Replica) -> None:
    """Raises StartError; the replica is left as it is then."""
    seen = readiness.Seen()
    target = readiness.Target(service, live.record.ports, live.record.exposed, live.pids, live.root.pid)
    looking = asyncio.ensure_future(readiness.answers(target, seen) if service.ports else _outlive())
    limit = service.wake.start_timeout
    try:
        done, _ = await asyncio.wait({looking, live.ended}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not looking.done():
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError, StartError):
                await looking
    if live.stopping:
        raise StartError(f"{service.name} was stopped while it started")
    if live.ended in done:
        why = f"{live.ended.result()} before it was ready{_LEFT if seen.by_child else ''}"
        raise StartError(f"{service.name} {why}{live.last_words()}")
    if looking in done:
        looking.result()
        return
    pids = await asyncio.to_thread(live.pids)
    where = await asyncio.to_thread(readiness.elsewhere, pids, list(live.record.ports.values()))
    told = "; ".join(part for part in (where, str(seen)) if part)
    raise StartError(f"{service.name} was not ready within {limit:g} s: {told}{live.last_words()}")


async def until_back(service: Service, live: Replica, within: float) -> str | None:
    """See a thawed replica answer again; None, or why it does not."""
    looking = asyncio.ensure_future(readiness.well(service, live.record.ports, within, patient=True))
    await asyncio.wait({looking, live.ended}, return_when=asyncio.FIRST_COMPLETED)
    if live.ended.done():
        looking.cancel()
        await asyncio.wait({looking})
        return str(live.ended.result())
    return await looking


async def _outlive() -> None:
    await asyncio.sleep(_ALIVE_WITHOUT_PORT)
