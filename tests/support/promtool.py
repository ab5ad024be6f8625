"""Prometheus, and its own judges of its files, promtool and amtool: where they are, how they are fetched.

Unpacked beside the system from a newer Debian suite; installing the packages would start a server on this machine.
`python -m tests.support.promtool` fetches them once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.engine.debian import unpack

_PACKAGES = {"prometheus": "prometheus", "promtool": "promtool", "amtool": "prometheus-alertmanager"}


def tool(name: str) -> Path:
    """The program, fetched where it is not there yet. Raises CalledProcessError."""
    home = os.environ.get("AIHUB_TEST_CACHE") or "~/.cache/aihub-tests"
    folder = Path(home).expanduser() / _PACKAGES[name]
    path = folder / "usr" / "bin" / name
    if not path.exists():
        unpack(folder, _PACKAGES[name])
    return path


def says(name: str, *words: str) -> tuple[int, str]:
    """Exit code and all that it printed."""
    done = subprocess.run([str(tool(name)), *words], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    for each in _PACKAGES:
        sys.stdout.write(f"{tool(each)}\n")
