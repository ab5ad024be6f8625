"""Logs that do not fill the disk: a file above its cap is kept once, as NAME.1, and begun anew.

The file is copied and emptied, not renamed: its writers hold it open for appending and need not be told.
"""

from __future__ import annotations

import shutil
from pathlib import Path

CAP = 16 * 1024 * 1024


def rotate(path: Path, cap: int = CAP) -> bool:
    """Whether the log was rotated. What is written between the copy and the emptying is lost: a few lines at most."""
    try:
        if path.stat().st_size <= cap:
            return False
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        with path.open("r+b") as log:
            log.truncate(0)
    except OSError:
        # A full disk must not take the hub down; the next round tries again.
        return False
    return True


def tail(path: Path, lines: int, since: int = 0) -> str:
    """The last lines of the part of a log that begins at byte `since`; empty where there is none."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(since if since <= size else 0, size - 256 * 1024))
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
