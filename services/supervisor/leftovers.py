"""What is left where no supervisor lives: a scaler, an Envoy and replicas that a `kill -9` has orphaned.

`end` is for `aihub down`; a new supervisor takes over instead (see `takeover`). Replicas are known by the records that
the process driver keeps: of each file's fields only `pid`, `start` and `boot` are read here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable

from services.layout import Layout
from services.supervisor import envoy, lock, proc, record
from services.supervisor.proc import Identity

_SCALER_LIMIT = 40.0
_ENVOY_LIMIT = 5.0
_GRACE = 5.0
_LIMIT = 15.0
_TICK = 0.02


def end(layout: Layout, say: Callable[[str], None]) -> bool:
    """Whether there was anything to end. Raises SupervisorError where a supervisor holds the data folder."""
    if not layout.lock.exists():
        return False
    held = lock.take(layout.lock)
    try:
        parts = record.read(layout.processes)
        found = False
        # An orphaned scaler still stops its replicas the way their services ask for it.
        for name, limit in (("scaler", _SCALER_LIMIT), ("envoy", _ENVOY_LIMIT)):
            part = parts.get(name)
            if part is None or not part.alive:
                continue
            found = True
            say(f"ending the {name} that a killed hub left (pid {part.pid})")
            part.send(signal.SIGTERM)
            if not part.wait_gone(limit):
                part.send(signal.SIGKILL)
                part.wait_gone(limit)
        found |= end_replicas(layout, say)
        envoy.clear(layout)
        for path in (layout.check_socket, layout.ads_socket, layout.admin_socket, layout.processes):
            path.unlink(missing_ok=True)
        return found
    finally:
        os.close(held)


def end_replicas(layout: Layout, say: Callable[[str], None]) -> bool:
    """End every replica on record that still runs, with its whole tree; whether there was one. Idempotent."""
    roots = replica_roots(layout)
    if not roots:
        return False
    say(f"ending {len(roots)} replicas that nobody looks after any more")
    began = time.monotonic()
    asked: set[int] = set()
    while left := {pid for root in roots for pid in _tree(root)}:
        lived = time.monotonic() - began
        if lived > _LIMIT:
            say(f"these processes could not be ended: {', '.join(map(str, sorted(left)))}")
            return True
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if lived > _GRACE:
                    os.kill(pid, signal.SIGKILL)
                elif pid not in asked:
                    asked.add(pid)
                    os.kill(pid, signal.SIGTERM)
                    os.kill(pid, signal.SIGCONT)
        time.sleep(_TICK)
    return True


def replica_roots(layout: Layout) -> list[Identity]:
    """Replicas on record whose root process lives."""
    found = []
    for path in sorted(layout.replicas.glob("*.json")):
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        match content:
            case {"pid": int(pid), "start": int(start), "boot": str(boot)} if boot == proc.boot():
                root = Identity(pid, start)
                if root.alive:
                    found.append(root)
    return found


def _tree(root: Identity) -> set[int]:
    """The replica's own session and everything below it. A root that has gone leaves its session behind."""
    members = proc.session(root.pid)
    if root.alive:
        members |= {root.pid} | proc.descendants(root.pid)
    # A session number is issued again only once nobody is left in it, so it cannot have become another's meanwhile.
    return members
