"""Takes up what an earlier scaler left running, whatever moment it was killed at.

The order of the earlier life's steps decides what can be found: a record without a pid and maybe a program (killed
between the two), a program outside its control group, a tree frozen though its record says ready, a tree half frozen,
half thawed or half ended. Each becomes one of: running and known, frozen and known, or gone. What carries this data
folder's mark and belongs to no record is ended: nobody would ever stop it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services.layout import Layout
from services.scaler.core.events import Adopted
from services.scaler.drivers.process import ending
from services.scaler.drivers.process.containment import CgroupTree, Containment, WalkTree
from services.scaler.drivers.process.platform import Platform
from services.scaler.drivers.process.proc import Identity, Process, ProcessTable, boot, lives
from services.scaler.drivers.process.records import Phase, Record, Records
from services.scaler.drivers.process.replica import Replica

log = logging.getLogger(__name__)

_GRACE = 1.0
"""For a tree whose stop was begun by the earlier life: it has had its signal, and some time, already."""


async def take_up(platform: Platform, records: Records, layout: Layout) -> Sequence[Replica]:
    """Those that live, each in a phase that is true, their records brought up to date. Not watched yet."""
    known = list(records.load())
    table = await asyncio.to_thread(ProcessTable, platform.marks)
    marked = table.marked(f"{platform.owner}/")
    current = boot()
    found = await asyncio.gather(*(_one(platform, records, layout, record, marked, current) for record in known))
    living = [live for live in found if live is not None]
    await asyncio.to_thread(_end_strays, platform, {live.id for live in living})
    return living


def told(live: Replica) -> Adopted:
    record = live.record
    return Adopted(
        replica=record.replica,
        service=record.service,
        endpoints=record.endpoints,
        pid=record.pid,
        phase=record.phase.value,
        digest=record.digest,
    )


async def _one(
    platform: Platform,
    records: Records,
    layout: Layout,
    record: Record,
    marked: Mapping[str, list[Process]],
    current: str,
) -> Replica | None:
    root = _root(record, marked.get(platform.mark(record.replica), ()), current)
    # Of a root that has gone the session may be left: children that carry no mark are found by that alone.
    known = root or (record.root if record.boot == current else None)
    tree = platform.found(record.replica, known, record.cgroup)
    if root is None or record.phase is Phase.STOPPING:
        await ending.end(tree, root, signal.SIGTERM, _GRACE if root else 0.0)
        records.remove(record.replica)
        log.info("replica %s of an earlier life: %s", record.replica, "ended" if root else "gone, its rest removed")
        return None
    phase = await asyncio.to_thread(_settled, tree, root, record.phase)
    record = replace(record, pid=root.pid, start=root.start, phase=phase)
    records.note(record)
    return Replica(record, tree, layout.service_log(record.service), platform.mark(record.replica))


def _root(record: Record, marked: Iterable[Process], current: str) -> Identity | None:
    if record.boot != current:
        return None
    if record.root is not None:
        return record.root if lives(record.root) else None
    # The earlier life died between writing the record and writing the pid: the program, if there is one, leads its
    # own session and carries the mark.
    leaders = [process for process in marked if process.session == process.pid]
    return min(leaders, key=lambda one: one.start).identity if leaders else None


def _settled(tree: Containment, root: Identity, phase: Phase) -> Phase:
    if phase is Phase.PAUSED and tree.frozen():
        return phase
    tree.thaw()
    try:
        tree.begin(root)
        tree.enclose()
        tree.gather()
    except OSError as error:
        log.warning("pid %d could not be put into its control group: %s", root.pid, error)
    return Phase.READY if phase is Phase.PAUSED else phase


def _end_strays(platform: Platform, kept: set[str]) -> None:
    for folder in _groups(platform.groups):
        if folder.name not in kept:
            stray = CgroupTree(folder, platform.mark(folder.name), platform.marks)
            stray.kill(ending.KILL_WITHIN)
            stray.dispose()
    keep = {platform.mark(name) for name in kept}
    for mark, processes in ProcessTable(platform.marks).marked(f"{platform.owner}/").items():
        if mark not in keep:
            log.warning("ending %d stray processes of %s", len(processes), mark)
            WalkTree(mark, platform.marks).kill(ending.KILL_WITHIN)


def _groups(parent: Path | None) -> list[Path]:
    if parent is None or not parent.is_dir():
        return []
    return [path for path in parent.iterdir() if path.is_dir()]
