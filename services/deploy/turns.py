"""Deploys from one checkout take turns: two at once would write one `.env` and start one container twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_turn(root: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Waits for a deploy that is under way, and tells of it. A turn ends however its holder does. Raises OSError."""
    descriptor = os.open(root / ".deploy.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            signed = os.pread(descriptor, 32, 0).decode().strip()
            say(f"another deploy from here is under way{f' (pid {signed})' if signed else ''}; waiting for its end")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
