"""What the host has to give: memory, as the kernel and a surrounding cgroup tell it."""

from __future__ import annotations

import os
from pathlib import Path

SHARE = 0.75
"""What services may have of it where nobody said otherwise; the rest is for the hub, Envoy and people."""


def memory_total() -> int:
    """Bytes this process could ever use: physical memory, or a surrounding cgroup's limit if that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [
        _limit(Path(path)) for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    ]
    return min([physical, *(limit for limit in limits if limit is not None)])


def memory_budget() -> int:
    return int(memory_total() * SHARE)


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def cores() -> int:
    """Those this process may run on."""
    return len(os.sched_getaffinity(0))
