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
    """`services` (each with `data`, `env` and `log`), `cache`, `models`, `free`: bytes. `free` is None where there is
    no data folder yet."""
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
        "cache": taken(layout.cache, alone=True),
        "models": taken(layout.models),
        "free": free(layout.data) if layout.data.is_dir() else None,
    }


def prune(layout: Layout, names: Collection[str] | None, busy: Collection[str] = (), *, cache: bool) -> dict[str, Any]:
    """Remove environments of services that are not `busy` (`names` None: of all), and the download cache where asked.

    Returns `removed` and `kept` (name → why), `freed` bytes, and `cached`: bytes that stay, since the cache has them
    too. While a hub runs on the folder, it alone knows who is busy.
    """
    removed, kept, freed, linked = [], {}, 0, 0
    for name in sorted(_names(layout.envs)):
        if names is not None and name not in names:
            continue
        if name in busy:
            kept[name] = "it runs or is being installed"
            continue
        size, gone = _remove(layout.envs / name)
        freed += gone
        linked += size - gone
        removed.append(name)
    if cache:
        freed += _remove(layout.cache)[1]
        layout.cache.mkdir(exist_ok=True)
    return {"freed": freed, "cached": 0 if cache else linked, "removed": removed, "kept": kept}


def taken(root: Path, *, alone: bool = False) -> int:
    """Bytes on disk. `alone`: without files that are linked from elsewhere too, which a removal does not free."""
    links: dict[tuple[int, int], int] = {}
    total = 0
    paths = [root] if root.is_file() else [Path(folder, name) for folder, _, files in os.walk(root) for name in files]
    for path in paths:
        try:
            found = path.lstat()
        except OSError:
            continue
        inode = (found.st_dev, found.st_ino)
        links[inode] = links.get(inode, 0) + 1
        if links[inode] == (found.st_nlink if alone else 1):
            total += found.st_blocks * 512
    return total


def _remove(folder: Path) -> tuple[int, int]:
    """What it took, and how much of it is free now: the rest is linked from elsewhere, most from the download cache."""
    size, alone = taken(folder), taken(folder, alone=True)
    shutil.rmtree(folder, ignore_errors=True)
    left = taken(folder)
    return size - left, max(0, alone - left)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
