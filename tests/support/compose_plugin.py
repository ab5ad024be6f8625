"""The real compose, as judge of what a file means: where it is, how it is fetched, how it is asked.

Its `config` needs no Docker. The package comes from a newer Debian suite than the system's, by lists and a cache of
its own, so nothing of the system's package state changes: `python -m tests.support.compose_plugin` fetches it once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.engine.debian import unpack

PACKAGE = "docker-compose"
COMMAND = "python -m tests.support.compose_plugin"
_INSIDE = Path("usr/libexec/docker/cli-plugins/docker-compose")


class Refused(Exception):
    """Compose did not take the file; the message is its own."""


def folder() -> Path:
    home = os.environ.get("AIHUB_TEST_CACHE") or "~/.cache/aihub-tests"
    return Path(home).expanduser() / "compose"


def plugin() -> Path:
    """The binary. Raises FileNotFoundError with the command that fetches it."""
    path = folder() / _INSIDE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `{COMMAND}`")
    return path


def fetch() -> Path:
    """Get the package and unpack it; does nothing where that is done. Raises CalledProcessError."""
    path = folder() / _INSIDE
    if path.exists():
        return path
    unpack(folder(), PACKAGE)
    return path


def config(files: Sequence[str], cwd: Path, environ: Mapping[str, str], profiles: Sequence[str] = ("*",)) -> Any:
    """What compose makes of the files, as its JSON. Raises Refused."""
    command = [str(plugin())]
    for file in files:
        command += ["-f", file]
    for profile in profiles:
        command += ["--profile", profile]
    done = subprocess.run(
        [*command, "config", "--format", "json"], cwd=cwd, env=dict(environ), capture_output=True, text=True, timeout=20
    )
    if done.returncode:
        raise Refused(done.stderr.strip())
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
