"""The one clock of a scaler's life: wall time as it was at the start, plus monotonic time since.

So `now` never goes back or jumps while the scaler lives, and instants kept in the journal (a pin's end, when something
was paused) still mean the same in its next life.
"""

from __future__ import annotations

import time


class Clock:
    def __init__(self) -> None:
        self._base = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._base + time.monotonic()
