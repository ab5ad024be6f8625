"""Upstreams as containers: the programs that know who reached them, with their records in a folder of the test's.

Only the `asyncio` kind runs here: it needs the standard library alone, so any image with a Python carries it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.catalogue import Rests, Workshop, entry
from tests.support.docker_hub import IMAGE, Project, docker
from tests.support.upstreams import HERE, Upstream

_PROGRAMS, _RECORDS = "/upstreams", "/records"
_GROUPS = Path("/sys/fs/cgroup")


class Yard(Workshop):
    """A workshop whose upstreams are entries of a compose file."""

    def upstream(
        self,
        name: str,
        kind: str = "asyncio",
        *arguments: str,
        rests: Rests | None = None,
        compose: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        assert kind == "asyncio", kind
        self._made[name] = Upstream(kind, self.folder / f"{name}.events")
        command = ["python3", "-S", "-E", f"{_PROGRAMS}/on_asyncio.py", "--host", "0.0.0.0", "--port", "8080"]
        command += ["--events", f"{_RECORDS}/{name}.events", *arguments]
        said = {
            "image": IMAGE,
            "init": True,
            "command": command,
            "user": f"{os.getuid()}:{os.getgid()}",
            "volumes": [f"{HERE}:{_PROGRAMS}:ro", f"{self.folder}:{_RECORDS}"],
            **(compose or {}),
        }
        made = entry([], rests, compose=said, **more)
        del made["x-hub"]["local"]
        return made

    def beside(self, name: str) -> bool:
        """Whether a copy was ever started while another one lived."""
        return "beside" in (self.folder / f"{name}.events").read_text()


@dataclass(frozen=True, slots=True)
class Load:
    """What one container takes now, told by the kernel."""

    memory: int
    """Bytes, without files that were merely read and that the kernel drops unasked."""
    processes: int


class Gauge:
    """Reads what the containers of a project take, without asking anybody."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._groups: list[Path] = []

    def look_up(self) -> None:
        """Know the containers that there are now."""
        self._groups = [_group(one["Id"]) for one in inspected(self._project)]

    def read(self) -> list[Load]:
        """One of each that runs or is frozen."""
        return [load for group in self._groups if (load := _load(group)) is not None]


def inspected(project: Project) -> list[dict[str, Any]]:
    """All containers of a project in the engine's own words, stopped ones too."""
    label = f"label=com.docker.compose.project={project.name}"
    if not (found := docker("ps", "-aq", "--no-trunc", "--filter", label).split()):
        return []
    # What is removed at this moment is complained of, the others are told.
    return list(json.loads(docker("inspect", *found, check=False)))


def _group(identity: str) -> Path:
    old = _GROUPS / "memory"
    return (old if old.is_dir() else _GROUPS) / "docker" / identity


def _load(group: Path) -> Load | None:
    unified = not (_GROUPS / "memory").is_dir()
    try:
        used = int((group / ("memory.current" if unified else "memory.usage_in_bytes")).read_text())
        dropped = _field(group, "inactive_file" if unified else "total_inactive_file")
        return Load(used - dropped, len((group / "cgroup.procs").read_text().split()))
    except OSError:
        return None


def _field(group: Path, name: str) -> int:
    lines = (line.split() for line in (group / "memory.stat").read_text().splitlines())
    return next(int(value) for key, value in lines if key == name)
