"""Memory and CPU of containers, from the kernel's own files: a tenth of a millisecond each, where the engine's
statistics take a second on older engines.

Both versions of control groups are read. Page cache that nobody has used lately is no need of the container, for the
kernel drops it without asking. Where the files are out of reach (an engine elsewhere, a hub in a container) the engine
is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.scaler.core.events import ReplicaId
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused

log = logging.getLogger(__name__)

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Reading:
    memory: int
    cpu_seconds: float
    """Used since the container was started."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Where one container's figures stand."""

    memory: Path
    cpu: Path
    unified: bool


class Meter:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._groups: dict[int, Groups | None] = {}

    async def read(self, wanted: Mapping[ReplicaId, tuple[str, int | None]]) -> Mapping[ReplicaId, Reading]:
        """Replica → container and its first pid. What has gone is absent from the answer."""
        by_file = await asyncio.to_thread(self._by_file, wanted)
        missing = [replica for replica in wanted if replica not in by_file]
        told = await asyncio.gather(*(self._by_engine(wanted[replica][0]) for replica in missing))
        asked = {replica: reading for replica, reading in zip(missing, told, strict=True) if reading is not None}
        return {**by_file, **asked}

    def _by_file(self, wanted: Mapping[ReplicaId, tuple[str, int | None]]) -> dict[ReplicaId, Reading]:
        pids = {pid for _, pid in wanted.values() if pid}
        self._groups = {pid: groups for pid, groups in self._groups.items() if pid in pids}
        found = {}
        for replica, (container, pid) in wanted.items():
            if pid and self._engine.local_root is not None:
                if pid not in self._groups:
                    self._groups[pid] = groups_of(pid, container)
                groups = self._groups[pid]
                if groups is not None and (reading := read(groups)) is not None:
                    found[replica] = reading
        return found

    async def _by_engine(self, container: str) -> Reading | None:
        try:
            said = await self._engine.get(f"containers/{container}/stats", **{"stream": False, "one-shot": True})
        except (EngineRefused, EngineAway) as error:
            log.debug("no figures of container %s: %s", container[:12], error)
            return None
        return from_statistics(said)


def groups_of(pid: int, container: str, proc: Path = Path("/proc"), root: Path = _ROOT) -> Groups | None:
    """None where the process has gone, is not the container's, or its groups are out of our reach."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = {name: path for line in lines for _, names, path in [line.split(":", 2)] for name in names.split(",")}
    if "memory" in paths and "cpuacct" in paths:
        memory = _below(root / "memory", paths["memory"])
        groups = Groups(memory, _below(root / "cpuacct", paths["cpuacct"]), unified=False)
    else:
        memory = _below(root, paths.get("", ""))
        groups = Groups(memory, memory, unified=True)
    # A pid may have been given to another program: the group bears the container's name.
    return groups if container in str(memory) and memory.is_dir() else None


def read(groups: Groups) -> Reading | None:
    """None where the groups have gone."""
    try:
        if groups.unified:
            used = int((groups.memory / "memory.current").read_text())
            cpu = _field(groups.cpu / "cpu.stat", "usage_usec") / 1e6
            return Reading(max(0, used - _field(groups.memory / "memory.stat", "inactive_file")), cpu)
        used = int((groups.memory / "memory.usage_in_bytes").read_text())
        cpu = int((groups.cpu / "cpuacct.usage").read_text()) / 1e9
        return Reading(max(0, used - _field(groups.memory / "memory.stat", "total_inactive_file")), cpu)
    except (OSError, ValueError):
        return None


def from_statistics(said: Mapping[str, Any]) -> Reading | None:
    """What the engine's own statistics say; None for a container that does not run."""
    memory, cpu = said.get("memory_stats") or {}, (said.get("cpu_stats") or {}).get("cpu_usage") or {}
    if "usage" not in memory:
        return None
    kinds = memory.get("stats") or {}
    inactive = kinds.get("total_inactive_file", kinds.get("inactive_file", 0))
    return Reading(max(0, memory["usage"] - inactive), cpu.get("total_usage", 0) / 1e9)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _field(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(f"{file} has no {name}")
