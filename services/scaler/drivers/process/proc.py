"""Processes as /proc shows them: who lives, whose child it is, which replica it belongs to.

Owns reading; signals and decisions are others'. A process is known by pid *and* start time, never by pid alone: pids
are issued again. Nothing here is asynchronous: a scan of a few hundred processes takes some milliseconds, so callers
on an event loop run it in a thread.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MARK = "AIHUB_REPLICA"
"""Name of the environment variable by which a process that left its session and its parent is still found."""
TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# A process this young may stand between fork and exec and still carry another environment.
_SETTLED = 2.0


class Identity(NamedTuple):
    pid: int
    start: int
    """Clock ticks after boot, field 22 of /proc/PID/stat."""


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    name: str
    state: str
    """As in /proc: `R`, `S`, `D`, `T` stopped, `Z` zombie ..."""
    parent: int
    session: int
    ticks: int
    """CPU used by itself and by the children it has waited for, in clock ticks."""
    start: int

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.start)

    @property
    def alive(self) -> bool:
        return self.state not in "ZX"

    @property
    def stopped(self) -> bool:
        return self.state in "Tt"


def read(pid: int) -> Process | None:
    """The process that has this pid now, zombies included; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, tail = file.read().rpartition(b")")
    except OSError:
        return None
    # The name may hold any character, a closing parenthesis too: everything after the last one is fields.
    fields = tail.split()
    return Process(
        pid=pid,
        name=head.partition(b"(")[2].decode(errors="replace"),
        state=fields[0].decode(),
        parent=int(fields[1]),
        session=int(fields[3]),
        ticks=sum(int(field) for field in fields[11:15]),
        start=int(fields[19]),
    )


def identify(pid: int) -> Identity:
    """Of a process that is there. Raises OSError where it cannot be read: no descriptor is left, say."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return Identity(pid, int(file.read().rpartition(b")")[2].split()[19]))


def lives(identity: Identity) -> bool:
    process = read(identity.pid)
    return process is not None and process.start == identity.start and process.alive


def send(identity: Identity, number: signal.Signals) -> None:
    """Signal exactly this process; one that has gone is left alone, whoever has its pid now."""
    try:
        handle = os.pidfd_open(identity.pid)
    except OSError:
        return
    try:
        # The handle is bound to one process: if that is ours now, no later owner of the pid can be hit.
        if lives(identity):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def boot() -> str:
    """Changes with every boot of the machine: start times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Marks:
    """Which replica's mark each process was started with. Remembers, since a program's first environment is fixed.
    May be used from several threads."""

    def __init__(self) -> None:
        self._known: dict[Identity, str | None] = {}
        self._lock = threading.Lock()

    def of(self, process: Process) -> str | None:
        identity = process.identity
        if identity in self._known:
            return self._known[identity]
        mark = _mark(process.pid)
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - process.start / TICKS
        if mark is not None or age > _SETTLED:
            with self._lock:
                self._known[identity] = mark
        return mark

    def forget_all_but(self, living: Iterable[Identity]) -> None:
        keep = set(living)
        with self._lock:
            for identity in self._known.keys() - keep:
                del self._known[identity]


def _mark(pid: int) -> str | None:
    wanted = f"{MARK}=".encode()
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return None
    return next((os.fsdecode(text[len(wanted) :]) for text in variables if text.startswith(wanted)), None)


class ProcessTable:
    """All processes of one moment."""

    def __init__(self, marks: Marks) -> None:
        self.processes: Mapping[int, Process] = {process.pid: process for process in processes()}
        self._children: dict[int, list[Process]] = {}
        self._marks = marks
        for process in self.processes.values():
            self._children.setdefault(process.parent, []).append(process)
        marks.forget_all_but(process.identity for process in self.processes.values())

    def marked(self, prefix: str) -> Mapping[str, list[Process]]:
        """Living processes by mark, those whose mark begins so."""
        found: dict[str, list[Process]] = {}
        for process in self.processes.values():
            if process.alive and (mark := self._marks.of(process)) and mark.startswith(prefix):
                found.setdefault(mark, []).append(process)
        return found

    def tree(self, root: Identity | None, mark: str) -> list[Process]:
        """Living processes of one replica: the root, its session, what carries the mark, and all their descendants."""
        now = self.processes.get(root.pid) if root else None
        # Another process with the root's pid means that its session number may be somebody else's too.
        ours = root is not None and (now is None or now.start == root.start)
        reached: dict[int, Process] = {}
        waiting = [
            process
            for process in self.processes.values()
            if (ours and root and process.session == root.pid and process.start >= root.start)
            or self._marks.of(process) == mark
        ]
        myself = os.getpid()
        while waiting:
            process = waiting.pop()
            if process.pid in reached or process.pid == myself:
                continue
            reached[process.pid] = process
            waiting.extend(self._children.get(process.pid, ()))
        # Parents come before their children.
        return sorted((process for process in reached.values() if process.alive), key=lambda one: (one.start, one.pid))


def processes() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := read(int(name))):
            yield process


# -- memory ------------------------------------------------------------------------------------------------------------


def resident(pid: int) -> tuple[int, int]:
    """Bytes resident and those of them shared with others; zeros where the process has gone."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            fields = file.read().split()
    except OSError:
        return 0, 0
    return int(fields[1]) * _PAGE, int(fields[2]) * _PAGE


def proportional(pid: int) -> int | None:
    """Bytes resident, each shared page divided among its users; None where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
