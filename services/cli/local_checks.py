"""What `aihub doctor` can see of this machine by itself, without a hub."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.cli import words
from services.layout import Layout
from services.supervisor import envoy, leftovers, lock, ports, record
from services.supervisor.config import Listen, SupervisorError

_DISK_FLOOR = 5 << 30
_MEMORY_FLOOR = 4 << 30
_DESCRIPTORS = 16384


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    detail: str
    remedy: str = ""
    """What mends it; empty where it is well."""


def all_checks(layout: Layout, listen: Listen) -> Iterator[Check]:
    for check in (_python, _envoy, _cpu, _memory, _cgroup, _descriptors):
        yield check()
    runs = lock.holder(layout.lock) is not None
    for own in (_disk, _leftovers):
        yield own(layout)
    if not runs:
        yield _port(listen)


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check("python", ok, platform.python_version(), "" if ok else "The hub needs Python 3.11 or newer.")


def _envoy() -> Check:
    try:
        return Check("envoy", True, envoy.find_binary())
    except SupervisorError as error:
        detail, _, remedy = str(error).partition("\n")
        return Check("envoy", False, detail, remedy)


def _cpu() -> Check:
    return Check("processors", True, f"{len(os.sched_getaffinity(0))} usable")


def _memory() -> Check:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())

    def of(field: str) -> int:
        return int(fields[field].split()[0]) << 10

    total, swap = of("MemTotal"), of("SwapTotal")
    detail = f"{words.size(total)}, {words.size(of('MemAvailable'))} available, swap {words.size(swap)}"
    if total < _MEMORY_FLOOR:
        return Check("memory", False, detail, "Below 4G only small services fit; see --memory.")
    return Check("memory", True, detail + ("" if swap else " (paused services keep their memory)"))


def _cgroup() -> Check:
    line = Path("/proc/self/cgroup").read_text().partition("0::")[2].splitlines()
    # The second is where systems mount it that still have version 1 beside it.
    for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if line else ():
        folder = Path(mount, line[0].lstrip("/"))
        if (Path(mount) / "cgroup.controllers").exists() and os.access(folder / "cgroup.procs", os.W_OK):
            return Check("cgroup v2", True, f"{folder} is ours: a service can be frozen and ended as a whole")
    # Not a fault: the driver walks the process tree where there is no cgroup of the user's own.
    return Check("cgroup v2", True, "none that this user may write: limits are not enforced, trees are walked")


def _descriptors() -> Check:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ok = hard == resource.RLIM_INFINITY or hard >= _DESCRIPTORS
    remedy = "" if ok else f"Raise `ulimit -Hn` to {_DESCRIPTORS}: each held request takes the gateway four."
    return Check("open files", ok, "unlimited" if hard == resource.RLIM_INFINITY else f"{hard} at most", remedy)


def _disk(layout: Layout) -> Check:
    folder = layout.data
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return Check("data folder", False, f"{folder} cannot be written", "Choose another: --data DIR")
    ok = free >= _DISK_FLOOR
    remedy = "" if ok else "Free some: aihub df, aihub prune. Installations want 5G or more."
    return Check("data folder", ok, f"{layout.data}, {words.size(free)} free", remedy)


def _leftovers(layout: Layout) -> Check:
    if lock.holder(layout.lock) is not None:
        return Check("hub", True, f"runs (pid {lock.holder(layout.lock)})")
    left = [one for one in (*record.read(layout.processes).values(), *leftovers.replica_roots(layout)) if one.alive]
    if left:
        pids = ", ".join(str(one.pid) for one in left)
        return Check(
            "hub", False, f"was killed and left processes: {pids}", "aihub up takes over, aihub down ends them."
        )
    return Check("hub", True, "does not run")


def _port(listen: Listen) -> Check:
    try:
        ports.check_free(listen)
    except SupervisorError as error:
        detail, _, remedy = str(error).partition("\n")
        return Check("address", False, detail, remedy)
    return Check("address", True, f"{listen} is free")
