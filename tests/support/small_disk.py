"""A disk of its own for one test, small enough to be filled."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount it at `folder`. Raises CalledProcessError where this user may not."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "small", folder], check=True)
    try:
        yield folder
    finally:
        # Lazily: whoever still stands in it keeps it until it leaves.
        subprocess.run(["umount", "-l", folder], check=True)


def may_mount() -> bool:
    """Asked of the kernel, which refuses where it matters: root in a container often may not."""
    probe = "mount -t tmpfs none /mnt && umount /mnt"
    return subprocess.run(["unshare", "-m", "sh", "-c", probe], capture_output=True, check=False).returncode == 0


def fill(folder: Path) -> Path:
    """Leave not one byte; returns the file that takes them."""
    filler = folder / "filler"
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
    # The last write is cut to what is left; the one after it has no place at all.
    with suppress(OSError):
        while os.write(handle, bytes(1 << 16)):
            pass
    os.close(handle)
    assert shutil.disk_usage(folder).free == 0
    return filler
