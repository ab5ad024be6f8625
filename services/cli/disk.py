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
        "cache": taken(layout.cache),
        "models": taken(layout.models),
        "free": shutil.disk_usage(layout.data).free if layout.data.is_dir() else None,
    }


def prune(layout: Layout, names: tuple[str, ...], *, cache: bool) -> dict[str, Any]:
    """Remove environments (all, unless some are named), and the download cache where asked. Never data or models.

    Only while no hub runs on the folder; the caller sees to that.
    """
    removed, freed = [], 0
    for name in sorted(_names(layout.envs)):
        if names and name not in names:
            continue
        freed += _remove(layout.envs / name)
        removed.append(name)
    if cache:
        freed += _remove(layout.cache)
        layout.cache.mkdir(exist_ok=True)
    return {"freed": freed, "removed": removed, "kept": {}}


def taken(root: Path) -> int:
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _, files in os.walk(root):
        for name in [".", *files]:
            try:
                found = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * 512
    if root.is_file():
        total += root.stat().st_blocks * 512
    return total


def _remove(folder: Path) -> int:
    size = taken(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return size - taken(folder)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
