"""What a hub's folders take, counted without the hub. Bytes on disk, not lengths: hard links and holes count once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from services.layout import Layout


def usage(layout: Layout) -> dict[str, Any]:
    """The same shape as the hub's own answer to `df`."""
    names = _names(layout.data / "services") | _names(layout.envs)
    return {
        "services": {
            name: {
                "data": taken(layout.service_data(name)),
                "env": taken(layout.envs / name),
                "log": sum(taken(path) for path in layout.service_log(name).parent.glob(f"{name}.log*")),
            }
            for name in sorted(names)
        },
        "cache": taken(layout.cache, alone=True),
        "models": taken(layout.models),
        "free": shutil.disk_usage(layout.data).free if layout.data.is_dir() else None,
    }


def prune(layout: Layout, names: tuple[str, ...], *, cache: bool) -> dict[str, Any]:
    """Remove environments (all, unless some are named), and the download cache where asked. Never data or models.

    Only while no hub runs on the folder; the caller sees to that.
    """
    removed, freed, linked = [], 0, 0
    for name in sorted(_names(layout.envs)):
        if names and name not in names:
            continue
        size, gone = _remove(layout.envs / name)
        freed += gone
        linked += size - gone
        removed.append(name)
    if cache:
        freed += _remove(layout.cache)[1]
        layout.cache.mkdir(exist_ok=True)
    return {"freed": freed, "cached": 0 if cache else linked, "removed": removed, "kept": {}}


def taken(root: Path, *, alone: bool = False) -> int:
    """Bytes on disk. `alone`: without files that are linked from elsewhere too, which a removal does not free."""
    links: dict[tuple[int, int], int] = {}
    total = 0
    for folder, _, files in os.walk(root):
        for name in [".", *files]:
            try:
                found = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            inode = (found.st_dev, found.st_ino)
            links[inode] = links.get(inode, 0) + 1
            if links[inode] == (1 if name == "." or not alone else found.st_nlink):
                total += found.st_blocks * 512
    if root.is_file():
        total += root.stat().st_blocks * 512
    return total


def _remove(folder: Path) -> tuple[int, int]:
    """What it took, and how much of it is free now: the rest is linked from elsewhere, most from the download cache."""
    size, alone = taken(folder), taken(folder, alone=True)
    shutil.rmtree(folder, ignore_errors=True)
    left = taken(folder)
    return size - left, max(0, alone - left)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
