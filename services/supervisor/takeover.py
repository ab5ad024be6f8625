"""What a killed supervisor left: its scaler and its Envoy are ended, its replicas stay for the new scaler to adopt.

Only processes of the record are touched, and only while number and start time both fit.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import signal
from collections.abc import Callable
from pathlib import Path

from services.supervisor import record
from services.supervisor.config import Exit, SupervisorError

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 5.0


def end_orphans(processes: Path, say: Callable[[str], None]) -> None:
    """Raises SupervisorError where an orphan cannot be ended. The caller holds the lock on the data folder.

    SIGKILL, because a scaler that is asked to end stops its replicas first, and those are to be kept.
    """
    left = record.read(processes)
    for name in ("scaler", "envoy"):
        orphan = left.get(name)
        if orphan is None or not orphan.alive:
            continue
        say(f"an earlier hub was killed and left its {name} (pid {orphan.pid}): ending it")
        with contextlib.suppress(PermissionError):
            orphan.send(signal.SIGKILL)
        if not orphan.wait_gone(_PATIENCE):
            raise SupervisorError(Exit.FAILED, f"cannot end the {name} of an earlier hub (pid {orphan.pid})")


def become_subreaper() -> None:
    """Whatever loses its parent below us becomes our child, so that nothing of the hub can get lost."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def raise_descriptor_limit() -> None:
    """To what this user may have: each held request takes Envoy four."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
