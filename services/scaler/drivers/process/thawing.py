"""Programs that dislike being frozen: found by watching the seconds after a thaw, remembered, explained.

Some supervise their own workers by the clock: to them a freeze looks like a worker that hung, and they kill it. Which
ones cannot be known beforehand. A service found out once is stopped instead of paused until its entry changes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from services.catalog.model import Service
from services.scaler.drivers.process import readiness
from services.scaler.drivers.process.proc import TICKS, Process, lives
from services.scaler.drivers.process.replica import Replica

log = logging.getLogger(__name__)

WATCHED = 10.0
"""Seconds after a thaw in which a loss is put down to the freeze."""
_LOOK = 0.5
_HEALTH_EVERY = 2.0
_ANSWER = 3.0
_SETTLED = 2.0
"""A child younger than this when it was frozen may just have been about to end."""


class Grudges:
    """Which services do not bear being paused, and why. Kept in one file; a changed entry gets a new chance."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, str]] = {}
        try:
            self._known = json.loads(path.read_text())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, every service may be paused again: %s", path, error)

    def reason(self, service: str, digest: str) -> str | None:
        entry = self._known.get(service)
        return entry["reason"] if entry and entry["digest"] == digest else None

    def exit_after_thaw(self, service: str, digest: str, manner: str) -> None:
        """It ended within the watched seconds. Nothing inside a tree kills its own root with SIGKILL: such an end says
        nothing about the freeze."""
        if "SIGKILL" not in manner:
            self.remember(service, digest, f"within {WATCHED:g} s of a thaw it {manner}")

    def remember(self, service: str, digest: str, reason: str) -> None:
        log.warning("%s will not be paused any more: %s", service, reason)
        self._known[service] = {"digest": digest, "reason": reason}
        partial = self._path.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(self._known, indent=1))
            partial.replace(self._path)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)


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
