"""One hub for one data folder: a lock that the kernel lets go of however its holder ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from services.supervisor.config import Exit, SupervisorError


def take(path: Path) -> int:
    """The descriptor that holds the lock; close it to let go. Raises SupervisorError where another holds it."""
    descriptor = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SupervisorError(Exit.WRONG_STATE, _taken(path)) from None
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder(path: Path) -> int | None:
    """The process that holds the lock; None where nobody does. 0 where somebody does who has not signed yet.

    Raises SupervisorError where that cannot be told.
    """
    try:
        descriptor = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        signed = os.pread(descriptor, 32, 0).strip()
        return int(signed) if signed.isdigit() else 0
    else:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise SupervisorError(Exit.FAILED, f"{path.parent} belongs to another user") from None
    except NotADirectoryError:
        raise SupervisorError(Exit.FAILED, f"{path.parent} is no folder") from None


def _taken(path: Path) -> str:
    pid = holder(path)
    who = f" (pid {pid})" if pid else ""
    return (
        f"a hub already runs on {path.parent}{who}.\n"
        f"`aihub status` shows it, `aihub down` ends it; --data DIR starts another one beside it."
    )
