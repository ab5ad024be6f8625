"""`processes.json`: which processes are the hub's, so that the next supervisor can tell what a killed one left."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from services.supervisor.proc import Identity, boot

_BLOCK = 1024
"""Bytes that a record takes, filled up with spaces: the next one fits into the same place."""


def read(path: Path) -> dict[str, Identity]:
    """Empty where there is no record, it cannot be read, or the machine has been started anew since: then nothing can
    be said to be ours."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or content.get("boot") != boot():
        return {}
    found = {}
    for name, entry in content.items():
        match entry:
            case {"pid": int(pid), "start": int(start)}:
                found[name] = Identity(pid, start)
    return found


def write(path: Path, processes: Mapping[str, Identity]) -> None:
    """A reader sees the old record or the new one. Where the disk takes nothing more it is written over the old one: no
    process may run unrecorded, and none must stay down because of a full disk. Raises OSError."""
    entries: dict[str, object] = {name: {"pid": one.pid, "start": one.start} for name, one in processes.items()}
    entries["boot"] = boot()
    content = (json.dumps(entries) + "\n").encode()
    content = content.ljust(-(-len(content) // _BLOCK) * _BLOCK)
    fresh = path.with_suffix(".new")
    try:
        fresh.write_bytes(content)
        os.replace(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        if not _write_over(path, content):
            raise


def _write_over(path: Path, content: bytes) -> bool:
    """In one call, which no signal cuts. Whether it was done: a file that is smaller would have to grow."""
    try:
        handle = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        return os.fstat(handle).st_size == len(content) and os.pwrite(handle, content, 0) == len(content)
    except OSError:
        return False
    finally:
        os.close(handle)
