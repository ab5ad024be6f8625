"""What happened to replicas that nobody asked for, seen by comparing each with what it should be.

Frozen or thawed by somebody else's hand; alive, but no longer listening. It tells; the driver posts, the fleet decides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from services.scaler.core.events import Deaf, Event, Meddled
from services.scaler.drivers.process.measure import Reading
from services.scaler.drivers.process.records import Phase
from services.scaler.drivers.process.replica import Replica
from services.scaler.drivers.process.sockets import listeners

_DEAF_AFTER = 4.0
"""Seconds without its listener, by the first and the last of several looks; a program that loads itself anew has none
for a moment."""


def listening() -> frozenset[int] | None:
    """Ports that somebody listens on; None where the kernel does not tell."""
    try:
        return frozenset(listener.port for listener in listeners())
    except OSError:
        return None


def news(live: Replica, reading: Reading | None, ports: frozenset[int] | None) -> Iterator[Event]:
    """`ports`: those of `listening`, taken in the same look."""
    if reading is None or live.stopping or live.verb.locked():
        return
    yield from _meddling(live, reading)
    if ports is not None:
        yield from _deafness(live, ports)


def _meddling(live: Replica, reading: Reading) -> Iterator[Event]:
    expected = live.record.phase is Phase.PAUSED
    if live.record.phase is Phase.STARTING or reading.frozen == expected:
        live.meddled = False
    elif not live.meddled:
        live.meddled = True
        yield Meddled(live.id, "paused" if reading.frozen else "running")


def _deafness(live: Replica, ports: frozenset[int]) -> Iterator[Event]:
    missing = sorted(set(live.record.ports.values()) - ports)
    if not missing or live.record.phase is not Phase.READY:
        live.unheard_since = None
        return
    now = time.monotonic()
    live.unheard_since = live.unheard_since or now
    if now - live.unheard_since >= _DEAF_AFTER:
        where = ", ".join(f"127.0.0.1:{port}" for port in missing)
        yield Deaf(live.id, f"{live.record.service} runs, but no longer listens on {where}{live.last_words()}")
