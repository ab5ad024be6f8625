"""Ends a tree: the polite signal, grace, SIGKILL for what is left, until nothing is left.

The signal goes to the root's process group, as a terminal would send it: a shell around the real program would die of
it alone and leave the program without notice. What lives in sessions of its own gets it once the root has gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence

from services.scaler.drivers.process.containment import Containment
from services.scaler.drivers.process.proc import Identity, Process, lives, read, send

KILL_WITHIN = 5.0
_SHORTEST = 0.005
_LONGEST = 0.1


def number(name: str) -> signal.Signals:
    """`SIGTERM`, `TERM` and `15` alike; SIGTERM where there is no such signal."""
    text = name.strip().upper()
    try:
        return signal.Signals(int(text)) if text.isdigit() else signal.Signals["SIG" + text.removeprefix("SIG")]
    except (ValueError, KeyError):
        return signal.SIGTERM


async def end(tree: Containment, root: Identity | None, polite: signal.Signals, grace: float) -> str:
    """Thaw, signal, wait, kill; returns how it ended. Cancelled, it leaves the tree running or dying; ask again."""
    begun = time.monotonic()
    await asyncio.to_thread(tree.thaw)
    if root is not None and lives(root):
        _signal_group(root, polite)
        await _root_gone(root, begun + grace)
    left = await asyncio.to_thread(tree.members)
    ignored = root is not None and any(process.identity == root for process in left)
    if left and not ignored:
        left = await _follow(tree, left, polite, begun + grace)
    manner = f"ended by {polite.name} after {time.monotonic() - begun:.2f} s"
    if left:
        manner = f"did not end within {grace:g} s of {polite.name} and was killed ({_names(left)})"
    remaining = await asyncio.to_thread(tree.kill, KILL_WITHIN)
    await asyncio.to_thread(tree.dispose)
    if remaining:
        manner += f"; the kernel still holds {_names(remaining)}"
    return manner


async def kill(tree: Containment) -> Sequence[Process]:
    """SIGKILL at once; returns what the kernel still holds after some seconds."""
    left = await asyncio.to_thread(tree.kill, KILL_WITHIN)
    await asyncio.to_thread(tree.dispose)
    return left


def _signal_group(root: Identity, polite: signal.Signals) -> None:
    try:
        os.killpg(root.pid, polite)
    except (ProcessLookupError, PermissionError):
        send(root, polite)


async def _root_gone(root: Identity, deadline: float) -> None:
    try:
        handle = os.pidfd_open(root.pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    loop.add_reader(handle, lambda: None if gone.done() else gone.set_result(None))
    try:
        if (process := read(root.pid)) is None or process.identity != root:
            return
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            await gone
    except TimeoutError:
        return
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def _follow(
    tree: Containment, left: Sequence[Process], polite: signal.Signals, deadline: float
) -> Sequence[Process]:
    """The rest of a tree whose root has ended: the same signal, the same grace."""
    told: set[Identity] = set()
    pause = _SHORTEST
    while left and time.monotonic() < deadline:
        for process in left:
            if process.identity not in told:
                send(process.identity, polite)
                told.add(process.identity)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)
        left = await asyncio.to_thread(tree.members)
    return left


def _names(processes: Sequence[Process]) -> str:
    shown = ", ".join(f"{process.name} {process.pid}" for process in processes[:3])
    return f"{shown} and {len(processes) - 3} more" if len(processes) > 3 else shown
