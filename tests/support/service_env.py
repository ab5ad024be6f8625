"""The packages of one of the catalogue's services, from its very lock, in an environment made once and kept."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LONGEST = 600


@functools.cache
def programs(service: str) -> Path:
    """The folder with `python` and the service's own commands. Safe to call from several processes at once. Raises
    CalledProcessError where the packages cannot be had."""
    lock = ROOT / "catalog" / "locks" / f"{service}.txt"
    digest = hashlib.sha256(sys.version.encode() + lock.read_bytes()).hexdigest()[:12]
    home = Path(os.environ.get("AIHUB_TEST_CACHE") or "~/.cache/aihub-tests").expanduser()
    home.mkdir(parents=True, exist_ok=True)
    folder = home / f"{service}-{digest}"
    with (home / f"{service}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, lock)
            (folder / "complete").touch()
    return folder / "bin"


def _make(folder: Path, lock: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    quiet = {"check": True, "timeout": _LONGEST}
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], **quiet)  # type: ignore[call-overload]
    install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
    subprocess.run([*install, "--require-hashes", "--no-deps", "-r", str(lock)], **quiet)  # type: ignore[call-overload]
