"""CPU that replicas have used lately, reckoned from readings of what each has used since it began.

Owns the window of the last minute, one series a replica. Where the readings come from is each platform's own.
"""

from __future__ import annotations

import time
from collections import deque

from services.catalog.model import Service
from services.scaler.core.events import Measured, ReplicaId

_WINDOW = 60.0
_SHORTEST_WINDOW = 1.0
"""Seconds; CPU is counted in hundredths of one."""


class Usage:
    """CPU times are in seconds."""

    def __init__(self) -> None:
        self._samples: dict[ReplicaId, deque[tuple[float, float]]] = {}
        """Moment and CPU seconds used until then; the oldest is just outside the window or where counting began."""

    def restart(self, replica: ReplicaId, cpu_seconds: float) -> None:
        """Count from here: the replica has become ready or was thawed."""
        self._samples[replica] = deque([(time.monotonic(), cpu_seconds)])

    def measured(
        self, replica: ReplicaId, memory: int, cpu_seconds: float, busy: bool, service: Service | None, callers: int = 0
    ) -> Measured:
        """What is told of one reading; takes it in. `memory` in bytes; `callers`: who has come past the gateway."""
        minute = self.cores(replica, cpu_seconds)
        window = max(_SHORTEST_WINDOW, min(service.scaling.idle_timeout, _WINDOW)) if service else _WINDOW
        return Measured(replica, memory, minute, busy, self.lately(replica, window), callers)

    def cores(self, replica: ReplicaId, cpu_seconds: float) -> float:
        """Take in one more reading; CPU seconds of the last minute, divided by a minute."""
        samples = self._samples.setdefault(replica, deque())
        now = time.monotonic()
        # A process that left the tree takes its past with it: the sum may fall, use never does.
        samples.append((now, max(cpu_seconds, samples[-1][1]) if samples else cpu_seconds))
        while len(samples) > 1 and samples[1][0] <= now - _WINDOW:
            samples.popleft()
        return (samples[-1][1] - samples[0][1]) / _WINDOW

    def lately(self, replica: ReplicaId, window: float) -> float:
        """CPU seconds a second over the last `window` seconds, or since counting began where that was not half as long
        ago. As of the last reading."""
        samples = self._samples[replica]
        now, used = samples[-1]
        before = next((one for one in reversed(samples) if one[0] <= now - window), samples[0])
        return (used - before[1]) / max(now - before[0], window / 2)

    def forget(self, replica: ReplicaId) -> None:
        self._samples.pop(replica, None)
