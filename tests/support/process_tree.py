"""Reading /proc: what lives, who its parent is, what it holds. Linux alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    state: str
    session: int
    start: int
    """Ticks since boot; with the pid it names a process for ever."""

    @property
    def dead(self) -> bool:
        return self.state in "ZX"


def process(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return Process(pid, int(fields[1]), fields[0], int(fields[3]), int(fields[19]))


def alive(pid: int) -> bool:
    found = process(pid)
    return found is not None and not found.dead


def everything() -> dict[int, Process]:
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return {found.pid: found for pid in pids if (found := process(pid)) is not None}


def descendants(root: int) -> set[int]:
    """`root` and all that it started, as far as parents still tell."""
    table = everything()
    found = {root} & table.keys()
    while more := {pid for pid, item in table.items() if item.parent in found} - found:
        found |= more
    return found


def mentioning(text: str) -> set[int]:
    """Living processes whose command line or environment holds `text`: finds what has left its parents."""
    return {
        pid
        for pid, item in everything().items()
        if not item.dead and pid != os.getpid() and text.encode() in _read(pid, "cmdline") + _read(pid, "environ")
    }


def files(pid: int) -> int:
    """How many file descriptors it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time so far, in seconds."""
    ticks = 0
    for pid in pids:
        text = _read(pid, "stat").decode()
        if text:
            fields = text[text.rindex(")") + 2 :].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
