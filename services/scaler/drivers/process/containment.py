"""What holds the whole tree of one replica together: a control group where the kernel gives us one, else a walk.

    Containment ── CgroupTree   every descendant is inside by birth; frozen and killed by one write
                └─ WalkTree     session, descendants and the environment's mark, stopped or killed to a fixed point

Both act on everything a replica has begun, processes that left its session too: a grandchild with a session of its own
(a notebook's kernel) would survive a signal to the group. All of it blocks for some milliseconds: call it in a thread.
`platform.py` decides which of the two a machine can have.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from services.scaler.drivers.process.proc import Identity, Marks, Process, ProcessTable, lives, read, send

_STEP = 0.002
_LONGEST_STEP = 0.05


class Containment(Protocol):
    @property
    def cgroup(self) -> Path | None:
        """Where it stands in the file system, for the record."""

    def begin(self, root: Identity) -> None:
        """Know the root; costs nothing. From now on every verb finds the tree."""

    def enclose(self) -> None:
        """Take in the root and what it will fork from now on. The kernel may take 20 ms for it, in which no process of
        this machine can fork, start a thread or exit: so not in the middle of a start. Raises OSError."""

    def gather(self) -> None:
        """Take in what the root forked before it was enclosed. Raises OSError."""

    def members(self) -> Sequence[Process]:
        """Living processes, parents before children."""

    def freeze(self, within: float) -> None:
        """Nothing of the tree runs when this returns. Raises TimeoutError after `within` seconds; part may be frozen
        then. Idempotent."""

    def frozen(self) -> bool:
        """Whether all of a tree that has members is frozen."""

    def thaw(self) -> None:
        """Everything runs again, whoever froze it. Idempotent."""

    def kill(self, within: float) -> Sequence[Process]:
        """SIGKILL until nothing is left; returns what outlived `within` seconds (a process the kernel holds)."""

    def dispose(self) -> None:
        """Remove what the containment itself took. Idempotent."""


class WalkTree:
    """Found anew at each step by walking /proc. Works everywhere; a process that clears its environment, leaves its
    session and outlives its parent in the very moment between two steps can escape it."""

    cgroup = None

    def __init__(self, mark: str, marks: Marks, root: Identity | None = None) -> None:
        self._mark = mark
        self._marks = marks
        self._root = root
        self._held: Sequence[Process] = ()

    def begin(self, root: Identity) -> None:
        self._root = root

    def enclose(self) -> None:
        pass

    @property
    def root(self) -> Identity | None:
        return self._root

    def gather(self) -> None:
        pass

    def members(self) -> Sequence[Process]:
        return ProcessTable(self._marks).tree(self._root, self._mark)

    def freeze(self, within: float) -> None:
        def settled() -> bool:
            before = self._held
            self._held = self.members()
            running = [process for process in self._held if not process.stopped]
            for process in running:
                send(process.identity, signal.SIGSTOP)
            # Two equal looks: what was stopped in the first cannot have forked before the second.
            return not running and _identities(before) == _identities(self._held)

        if not _until(settled, within):
            raise TimeoutError("processes of the tree did not stop")

    def frozen(self) -> bool:
        members = self.members()
        return bool(members) and all(process.stopped for process in members)

    def thaw(self) -> None:
        # A stopped tree forks nothing, so those that were held are still all; without that knowledge: look.
        held = self._held or self.members()
        self._held = ()
        for process in reversed(held):
            send(process.identity, signal.SIGCONT)

    def kill(self, within: float) -> Sequence[Process]:
        left: Sequence[Process] = ()

        def gone() -> bool:
            nonlocal left
            left = self.members()
            # Stopped first, all of them: a tree that forks faster than we look would never end otherwise.
            for process in left:
                send(process.identity, signal.SIGSTOP)
            for process in left:
                send(process.identity, signal.SIGKILL)
            return not left

        _until(gone, within)
        self._held = ()
        return left

    def dispose(self) -> None:
        pass


class CgroupTree:
    """One control group (v2). Needs no controller: freezing and killing belong to the hierarchy's core."""

    def __init__(self, cgroup: Path, mark: str, marks: Marks, root: Identity | None = None) -> None:
        self.cgroup = cgroup
        self._walk = WalkTree(mark, marks, root)
        self._enclosed = root is not None or cgroup.exists()

    def begin(self, root: Identity) -> None:
        self._walk.begin(root)
        self._enclosed = False

    def enclose(self) -> None:
        self.cgroup.mkdir(parents=True, exist_ok=True)
        root = self._walk.root
        if root is not None and lives(root):
            self._move(root.pid)
        self._enclosed = True

    def gather(self) -> None:
        def complete() -> bool:
            inside = set(self._pids())
            outside = [process for process in self._walk.members() if process.pid not in inside]
            for process in outside:
                self._move(process.pid)
            return not outside

        _until(complete, 1.0)

    def members(self) -> Sequence[Process]:
        if not self._enclosed:
            return self._walk.members()
        found = [process for pid in self._pids() if (process := read(pid)) and process.alive]
        return sorted(found, key=lambda one: (one.start, one.pid))

    def freeze(self, within: float) -> None:
        # What the root forked before it was moved here, or what was moved out since, comes (back) in first.
        self.gather()
        (self.cgroup / "cgroup.freeze").write_text("1")
        # One that has just died leaves an empty group, which never says that it is frozen.
        if not _until(lambda: self.frozen() or not self._event("populated"), within):
            raise TimeoutError(f"{self.cgroup} did not freeze")

    def frozen(self) -> bool:
        return self._event("frozen") and self._event("populated")

    def thaw(self) -> None:
        try:
            (self.cgroup / "cgroup.freeze").write_text("0")
        except FileNotFoundError:
            return
        for process in self.members():
            if process.stopped:
                send(process.identity, signal.SIGCONT)

    def kill(self, within: float) -> Sequence[Process]:
        begun = time.monotonic()
        try:
            (self.cgroup / "cgroup.kill").write_text("1")
            _until(lambda: not self._event("populated"), within)
        except FileNotFoundError:
            pass
        return self._walk.kill(max(0.0, within - (time.monotonic() - begun)))

    def dispose(self) -> None:
        # Programs may have made groups of their own below ours; the deepest go first.
        below = sorted((path for path in self.cgroup.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
        for folder in [*below, self.cgroup]:
            try:
                folder.rmdir()
            except OSError:
                continue

    def _move(self, pid: int) -> None:
        try:
            (self.cgroup / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            return

    def _pids(self) -> list[int]:
        found: list[int] = []
        for file in [self.cgroup / "cgroup.procs", *self.cgroup.glob("*/**/cgroup.procs")]:
            try:
                found.extend(int(line) for line in file.read_text().split())
            except OSError:
                continue
        return found

    def _event(self, name: str) -> bool:
        try:
            return f"{name} 1" in (self.cgroup / "cgroup.events").read_text()
        except OSError:
            return False


def _identities(processes: Sequence[Process]) -> list[Identity]:
    return [process.identity for process in processes]


def _until(done: Callable[[], bool], within: float) -> bool:
    """Ask at least once, then again at growing intervals."""
    deadline = time.monotonic() + within
    step = _STEP
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(step)
        step = min(step * 1.5, _LONGEST_STEP)
    return True
