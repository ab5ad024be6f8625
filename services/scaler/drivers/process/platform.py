"""Which containment and which limits this machine lets us have: found out by doing it once, not by looking at versions.

A user's own session usually may not make control groups; a service with `Delegate=yes`, a container with a writable
hierarchy and root may. Groups of the first hierarchy version are left alone: their freezer can be stuck by any of its
members, and killing is a race there.
"""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.catalog.model import Resources
from services.scaler.core.events import ReplicaId
from services.scaler.drivers.process.containment import CgroupTree, Containment, WalkTree
from services.scaler.drivers.process.proc import Identity, Marks, read

_CPU_PERIOD = 100_000
_WANTED = ("memory", "cpu")


class Wish(StrEnum):
    AUTO = "auto"
    CGROUP = "cgroup"
    WALK = "walk"


class NoCgroup(Exception):
    """Says why there is none."""


@dataclass(frozen=True, slots=True)
class Platform:
    marks: Marks
    owner: str
    """Mark of this data folder; a replica's own mark is `OWNER/REPLICA`."""
    groups: Path | None
    """Where the replicas' control groups are made; None: walk."""
    controllers: frozenset[str]
    """Those that set limits there."""
    reason: str
    """Why there are no groups; empty where there are."""

    def mark(self, name: str) -> str:
        return f"{self.owner}/{name}"

    def containment(self, replica: ReplicaId, root: Identity | None = None) -> Containment:
        if self.groups is None:
            return WalkTree(self.mark(replica), self.marks, root)
        return CgroupTree(self.groups / replica, self.mark(replica), self.marks, root)

    def found(self, replica: ReplicaId, root: Identity | None, cgroup: str | None) -> Containment:
        """That of an earlier life, which may have run under other conditions."""
        if cgroup is not None and Path(cgroup).is_dir():
            return CgroupTree(Path(cgroup), self.mark(replica), self.marks, root)
        return WalkTree(self.mark(replica), self.marks, root)

    def limit(self, cgroup: Path | None, resources: Resources) -> None:
        """Set what can be set. Raises OSError."""
        if cgroup is None:
            return
        cgroup.mkdir(parents=True, exist_ok=True)
        if resources.memory_limit is not None and "memory" in self.controllers:
            (cgroup / "memory.max").write_text(str(resources.memory_limit))
            (cgroup / "memory.oom.group").write_text("1")
        if resources.cpus is not None and "cpu" in self.controllers:
            (cgroup / "cpu.max").write_text(f"{int(resources.cpus * _CPU_PERIOD)} {_CPU_PERIOD}")

    def leave(self) -> None:
        """Remove the group of groups, if no replica is left in it."""
        if self.groups is not None:
            with contextlib.suppress(OSError):
                self.groups.rmdir()

    def describe(self) -> tuple[str, str, bool, str]:
        """For `doctor`: name, how replicas are held together and whether limits are enforced, whether that is well (a
        walk is, too), remedy."""
        if self.groups is None:
            detail = f"by walking the process table ({self.reason}); limits of memory and CPU are not enforced"
            return "containment", detail, True, ""
        enforced = [name for name in _WANTED if name in self.controllers]
        missing = [name for name in _WANTED if name not in self.controllers]
        limits = f"limits enforced: {', '.join(enforced)}" if enforced else "no limits are enforced"
        if missing:
            limits += f" (not delegated to the hub: {', '.join(missing)})"
        return "containment", f"each replica has a control group below {self.groups}; {limits}", True, ""


def detect(owner: str, wish: Wish = Wish.AUTO) -> Platform:
    """Blocks for some 20 ms. Raises NoCgroup where control groups were asked for and cannot be had."""
    marks = Marks()
    if wish is Wish.WALK:
        return Platform(marks, owner, None, frozenset(), "the walk was asked for")
    try:
        groups = _own_group() / f"aihub-{owner}"
        _try(groups, marks)
    except NoCgroup as error:
        if wish is Wish.CGROUP:
            raise
        return Platform(marks, owner, None, frozenset(), str(error))
    return Platform(marks, owner, groups, _controllers(groups), "")


def _own_group() -> Path:
    """Our own place in the v2 hierarchy."""
    mount = root = None
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] == "cgroup2":
            root, mount = left.split()[3:5]
    if mount is None or root is None:
        raise NoCgroup("no cgroup v2 hierarchy is mounted")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            below = line[3:]
            if below.startswith("/.."):
                raise NoCgroup("the hub's own control group lies outside what is mounted here")
            relative = below.removeprefix(root) if root != "/" else below
            return Path(mount) / relative.lstrip("/")
    raise NoCgroup("the hub is in no cgroup of the v2 hierarchy")


def _try(groups: Path, marks: Marks) -> None:
    """Put one small program in, freeze it, kill it."""
    trial = groups / "trial"
    try:
        groups.mkdir(exist_ok=True)
        trial.mkdir(exist_ok=True)
        if not (trial / "cgroup.kill").exists():
            raise NoCgroup("this kernel is older than cgroup.kill (5.14)")
    except OSError as error:
        raise NoCgroup(f"{groups}: {error.strerror}") from error
    program = subprocess.Popen(["sleep", "60"], start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        process = read(program.pid)
        tree = CgroupTree(trial, "", marks)
        if process is None:
            raise NoCgroup("the trial program did not start")
        (trial / "cgroup.procs").write_text(str(program.pid))
        (trial / "cgroup.freeze").write_text("1")
        (trial / "cgroup.kill").write_text("1")
        program.wait(5)
        tree.dispose()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCgroup(f"{trial} cannot be used: {error}") from error
    finally:
        program.kill()
        program.wait()


def _controllers(groups: Path) -> frozenset[str]:
    """Enable what may be enabled. A group that holds processes itself may not share out controllers: then none are."""
    for folder in (groups.parent, groups):
        for name in _WANTED:
            try:
                if name in (folder / "cgroup.controllers").read_text().split():
                    (folder / "cgroup.subtree_control").write_text(f"+{name}")
            except OSError:
                continue
    try:
        return frozenset((groups / "cgroup.subtree_control").read_text().split())
    except OSError:
        return frozenset()
