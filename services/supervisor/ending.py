"""The end of a hub: every process below the supervisor is gone when this returns.

In order: the scaler, which stops its replicas as their services ask for it; Envoy; whatever has escaped both. Being the
subreaper, the supervisor has every escaped process among its descendants.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence

from services.supervisor import proc
from services.supervisor.proc import Identity

Wait = Callable[[float], None]
"""Waits for news so many seconds at most, and reaps."""

_LIMITS = {"scaler": 40.0, "envoy": 5.0}
_GRACE = 2.0
_SWEEP = 10.0
_TICK = 0.05


def end_all(
    running: Sequence[tuple[str, Identity]],
    *,
    wait: Wait,
    hurried: Callable[[], bool],
    say: Callable[[str], None],
) -> None:
    """SIGTERM each in turn, SIGKILL after its limit or at once when hurried; then sweep. Idempotent."""
    for name, process in running:
        limit = _LIMITS[name]
        process.send(signal.SIGTERM)
        deadline = time.monotonic() + limit
        while process.alive and time.monotonic() < deadline and not hurried():
            wait(_TICK)
        if process.alive:
            say(f"{name} (pid {process.pid}) is killed" + ("" if hurried() else f": it had not ended in {limit:.0f} s"))
            process.send(signal.SIGKILL)
            while process.alive:
                wait(_TICK)
    left = sweep(os.getpid(), wait=wait, grace=0.0 if hurried() else _GRACE)
    if left:
        say(f"these processes could not be ended: {', '.join(map(str, sorted(left)))}")


def sweep(root: int, *, wait: Wait, grace: float) -> set[int]:
    """End every descendant, those too that are forked meanwhile; the ones that would not go are returned."""
    began = time.monotonic()
    asked: set[int] = set()
    while left := proc.descendants(root):
        lived = time.monotonic() - began
        if lived > _SWEEP:
            return left
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if lived >= grace:
                    os.kill(pid, signal.SIGKILL)
                elif pid not in asked:
                    asked.add(pid)
                    os.kill(pid, signal.SIGTERM)
                    os.kill(pid, signal.SIGCONT)
        wait(_TICK)
    return set()
