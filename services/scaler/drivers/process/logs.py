"""A service's log: what its programs print, appended by themselves, bounded by us.

The programs hold the file, not a pipe: a pipe would break with the scaler and end programs that are to outlive it. So
rotation copies and truncates; lines written in between can be lost, which is why it happens rarely and at one place.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

ROTATE_AT = 5 * 1024**2
KEPT = 3
_FLOODED = 20
"""A log that outgrew its bound so many times between two looks is not worth keeping whole: only its end is copied."""
_BOUND_WITHOUT_DISK = 256 * 1024
_TAIL = 16 * 1024


def open_log(path: Path, replica: str) -> int:
    """A descriptor that appends, the file marked with who begins now. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(handle, f"--- {replica} starts {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z\n".encode())
    return handle


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_lines(path: Path, since: int, count: int = 8) -> list[str]:
    """The last lines written after that place; from the file's beginning where it has been truncated since."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= end else 0, end - _TAIL))
            text = file.read(_TAIL).decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip()[:400] for line in text.splitlines() if line.strip() and not line.startswith("--- ")]
    return lines[-count:]


class LogKeeper:
    """Bounds the logs of what runs. A full disk ends more than one service, so below the floor nothing is kept."""

    def __init__(self, folder: Path, floor: int) -> None:
        self._folder = folder
        self._floor = floor
        self._low = False

    def look(self, paths: Iterable[Path]) -> None:
        """Blocks while it copies; call it every second or so, in a thread."""
        free = shutil.disk_usage(self._folder).free
        low = free < self._floor
        if low and not self._low:
            log.warning("only %d MiB of disk are left: logs are cut, not kept", free >> 20)
        self._low = low
        for path in set(paths):
            if rotate(path, _BOUND_WITHOUT_DISK if low else ROTATE_AT, keep=not low):
                log.info("log %s was rotated", path.name)


def rotate(path: Path, bound: int = ROTATE_AT, *, keep: bool = True) -> bool:
    """Bound the log; returns whether it was too large. With `keep` false (no disk left) nothing is copied aside."""
    length = size(path)
    if length <= bound:
        return False
    try:
        if keep:
            for number in range(KEPT - 1, 0, -1):
                older = Path(f"{path}.{number}")
                if older.exists():
                    older.replace(f"{path}.{number + 1}")
            _copy_end(path, Path(f"{path}.1"), bound if length > bound * _FLOODED else length)
        else:
            for number in range(1, KEPT + 1):
                Path(f"{path}.{number}").unlink(missing_ok=True)
        os.truncate(path, 0)
    except OSError as error:
        log.warning("log %s cannot be rotated: %s", path, error)
    return True


def _copy_end(source: Path, target: Path, length: int) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        reader.seek(-length, os.SEEK_END)
        shutil.copyfileobj(reader, writer)
