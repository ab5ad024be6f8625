"""A folder of data as a stream of tar, and back: all of it or nothing. Blocks; the callers have threads."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import BinaryIO

TOP = "data"
"""Every path of the archive begins with it."""


def write(folder: Path, target: BinaryIO) -> None:
    """Sockets are left out: nothing is kept in them. Raises OSError."""
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        archive.add(folder, TOP)


def replace(folder: Path, source: BinaryIO) -> None:
    """Put what the archive holds in the folder's place. What was there is kept aside until all of it is unpacked, and
    comes back where that fails. Raises OSError, tarfile.TarError."""
    fresh, before = _beside(folder, "new"), _beside(folder, "before")
    mend(folder)
    fresh.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            archive.extractall(fresh, filter="tar")
        if not (fresh / TOP).is_dir():
            raise tarfile.ReadError(f"the archive has no folder {TOP!r}")
        if folder.exists():
            os.rename(folder, before)
        os.rename(fresh / TOP, folder)
    except BaseException:
        mend(folder)
        raise
    mend(folder)


def mend(folder: Path) -> None:
    """What a replacement that was broken off has left: the old data come back unless the new ones are in place."""
    fresh, before = _beside(folder, "new"), _beside(folder, "before")
    if before.exists() and not folder.exists():
        os.rename(before, folder)
    shutil.rmtree(before, ignore_errors=True)
    shutil.rmtree(fresh, ignore_errors=True)


def _beside(folder: Path, what: str) -> Path:
    """On the same disk, but not among the folders of services."""
    return folder.parent.parent / "restoring" / f"{folder.name}.{what}"
