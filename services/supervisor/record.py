"""`processes.json`: which processes are the hub's, so that the next supervisor can tell what a killed one left."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from services.supervisor.proc import Identity, boot


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
    """Atomic: a reader sees the old record or the new one."""
    entries: dict[str, object] = {name: {"pid": one.pid, "start": one.start} for name, one in processes.items()}
    entries["boot"] = boot()
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(entries) + "\n")
    os.replace(fresh, path)
