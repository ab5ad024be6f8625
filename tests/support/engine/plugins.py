"""Compose and buildx for the docker client, which has neither by itself in every Debian.

Both are only added: a plugin that the client finds already stays.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import compose_plugin
from tests.support.engine.daemon import folder
from tests.support.engine.debian import unpack

_FOR_ALL = Path("/usr/local/lib/docker/cli-plugins")
_INSIDE = Path("usr/libexec/docker/cli-plugins/docker-buildx")


def add() -> list[str]:
    """Make `docker compose` and `docker buildx` known words. Returns which were added; idempotent."""
    added = []
    if not _known("compose"):
        _install(compose_plugin.fetch())
        added.append("compose")
    if not _known("buildx"):
        if not (folder() / _INSIDE).exists():
            unpack(folder(), "docker-buildx")
        _install(folder() / _INSIDE)
        added.append("buildx")
    return added


def _known(plugin: str) -> bool:
    return not subprocess.run(["docker", plugin, "version"], capture_output=True, timeout=20).returncode


def _install(program: Path) -> None:
    place = _FOR_ALL if os.geteuid() == 0 else Path("~/.docker/cli-plugins").expanduser()
    place.mkdir(parents=True, exist_ok=True)
    # Copied beside and renamed, since another run may be using the one that is there.
    fresh = place / f".{program.name}.{os.getpid()}"
    shutil.copy2(program, fresh)
    fresh.rename(place / program.name)
