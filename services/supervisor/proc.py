"""What /proc says of processes: who is whose child, and whether a number still means the process it once meant.

A process is named by its number and its start time together, because numbers are issued again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    pid: int
    start: int
    """Clock ticks from boot to the start of the process, field 22 of /proc/PID/stat."""

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """None where no such process runs."""
        fields = _stat(pid)
        return cls(pid, int(fields[19])) if fields and _runs(fields) else None

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Idempotent: a process that is gone is a success. Raises PermissionError."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The handle pins the process, so what is checked here is what the signal reaches.
            if self.alive:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)

    def wait_gone(self, seconds: float) -> bool:
        """Whether the process had ended within so many seconds. For processes that are not our children."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True


def command_line(pid: int) -> str:
    """Empty where it cannot be read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def descendants(root: int) -> set[int]:
    """Every process below `root`, what is over left out; what forks meanwhile is found by the next call."""
    parents: dict[int, int] = {}
    for pid in pids():
        fields = _stat(pid)
        if fields and _runs(fields):
            parents[pid] = int(fields[1])
    found: set[int] = set()
    frontier = {root}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier and pid not in found}
        found |= frontier
    return found


def session(leader: int) -> set[int]:
    """Every process of the session that this process began."""
    found = set()
    for pid in pids():
        fields = _stat(pid)
        if fields and _runs(fields) and int(fields[3]) == leader:
            found.add(pid)
    return found


def boot() -> str:
    """Names this boot of the machine: start times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pids() -> Iterable[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _runs(fields: list[str]) -> bool:
    # A killed program's first thread can be a zombie while others still hold its ports: that is not over yet.
    return fields[0] not in "ZX" or int(fields[17]) > 1


def _stat(pid: int) -> list[str] | None:
    """Fields from the third on. The second, the name, may hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
