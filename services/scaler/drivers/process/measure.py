"""Memory and CPU of whole trees, cheaply: one look at the process table for all replicas together.

Memory is the control group's own figure where the memory controller is ours, else the proportional share (Pss) of each
process, so that what forked workers share is counted once. Pss makes the kernel walk every page, so it is read again
only when the resident size has changed. CPU is what the tree has used including children that have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.scaler.core.events import ReplicaId
from services.scaler.drivers.process.containment import CgroupTree
from services.scaler.drivers.process.proc import TICKS, Identity, Marks, Process, ProcessTable, proportional, resident
from services.scaler.drivers.process.replica import Replica


@dataclass(frozen=True, slots=True)
class Reading:
    memory: int
    cpu_seconds: float
    """Used since it began."""
    frozen: bool


class Meter:
    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._shares: dict[Identity, tuple[tuple[int, int], int]] = {}

    def read(self, replicas: Sequence[Replica]) -> Mapping[ReplicaId, Reading]:
        """Blocks for some milliseconds; one call at a time."""
        table = ProcessTable(self._marks) if any(live.tree.cgroup is None for live in replicas) else None
        readings = {live.id: self._one(live, table) for live in replicas}
        return {replica: reading for replica, reading in readings.items() if reading is not None}

    def cpu_seconds(self, live: Replica) -> float:
        """Of one replica. Blocks for some milliseconds."""
        cgroup = live.tree.cgroup
        used = _cgroup_cpu(cgroup) if cgroup else None
        return used if used is not None else _ticks(live.tree.members())

    def _one(self, live: Replica, table: ProcessTable | None) -> Reading | None:
        cgroup = live.tree.cgroup
        if cgroup is None and table is not None:
            members: Sequence[Process] = table.tree(live.root, live.mark)
            frozen = bool(members) and all(process.stopped for process in members)
        else:
            members = live.tree.members()
            frozen = live.tree.frozen() or any(p.stopped for p in members if p.identity == live.root)
        if not members:
            return None
        used = _cgroup_cpu(cgroup) if isinstance(live.tree, CgroupTree) and cgroup else None
        memory = _cgroup_memory(cgroup) if cgroup else None
        if memory is None:
            memory = sum(self._share(process) for process in members)
        return Reading(memory, used if used is not None else _ticks(members), frozen)

    def _share(self, process: Process) -> int:
        now = resident(process.pid)
        known = self._shares.get(process.identity)
        if known and known[0] == now:
            return known[1]
        share = proportional(process.pid)
        share = now[0] if share is None else share
        if len(self._shares) > 4096:
            self._shares.clear()  # Mostly of processes that have gone.
        self._shares[process.identity] = (now, share)
        return share


def _ticks(members: Sequence[Process]) -> float:
    return sum(process.ticks for process in members) / TICKS


def _cgroup_cpu(cgroup: Path) -> float | None:
    try:
        for line in (cgroup / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
    except OSError:
        pass
    return None


def _cgroup_memory(cgroup: Path) -> int | None:
    try:
        return int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):
        return None
