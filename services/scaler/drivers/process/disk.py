"""What the hub's folders take, and giving back what can be had again. Never a service's data, never models.

Bytes on disk, not lengths: a file that is linked into several environments counts once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from services.layout import Layout

FLOOR = 2 * 1024**3
"""Bytes of free disk below which nothing is installed."""


def free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def usage(layout: Layout) -> dict[str, Any]:
    names = _names(layout.data / "services") | _names(layout.envs)
    logs = layout.logs / "services"
    return {
        "services": {
            name: {
                "data": taken(layout.service_data(name)),
                "env": taken(layout.envs / name),
                "log": sum(taken(path) for path in [layout.service_log(name), *logs.glob(f"{name}.log.*")]),
            }
            for name in sorted(names)
        },
        "cache": taken(layout.cache),
        "models": taken(layout.models),
        "free": free(layout.data),
    }


def prune(layout: Layout, names: Collection[str] | None, busy: Collection[str], *, cache: bool) -> dict[str, Any]:
    """Remove environments of services that are not `busy`; `names` None: of all."""
    removed, kept, freed = [], {}, 0
    for name in sorted(_names(layout.envs)):
        if names is not None and name not in names:
            continue
        if name in busy:
            kept[name] = "it runs or is being installed"
            continue
        freed += _remove(layout.envs / name)
        removed.append(name)
    if cache:
        freed += _remove(layout.cache)
        layout.cache.mkdir(exist_ok=True)
    return {"freed": freed, "removed": removed, "kept": kept}


def taken(root: Path) -> int:
    seen: set[tuple[int, int]] = set()
    total = 0
    paths = [root] if root.is_file() else [Path(folder, name) for folder, _, files in os.walk(root) for name in files]
    for path in paths:
        try:
            found = path.lstat()
        except OSError:
            continue
        if (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total


def _remove(folder: Path) -> int:
    before = taken(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return before - taken(folder)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
