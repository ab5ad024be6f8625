from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.presence import engine_is_there

IMAGE = "aihub-test/web"
_LABEL = "com.docker.compose"


def docker(*words: str, cwd: Path | None = None) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, cwd=cwd, timeout=60)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Found:
    id: str
    state: str
    hash: str
    published: bool


@dataclass(frozen=True, slots=True)
class Shop:
    """A compose project of the test's own on a real engine, as its user works with it."""

    folder: Path
    project: str

    @property
    def file(self) -> Path:
        return self.folder / "compose.yml"

    def write(self, **services: dict[str, Any]) -> None:
        self.file.write_text(json.dumps({"name": self.project, "services": services}))

    def compose(self, *words: str) -> str:
        return docker("compose", "--progress", "quiet", *words, cwd=self.folder)

    def containers(self) -> dict[str, list[Found]]:
        """Those of the project, by service."""
        ids = docker("ps", "-aq", "--no-trunc", "--filter", f"label={_LABEL}.project={self.project}").split()
        found: dict[str, list[Found]] = {}
        for one in json.loads(docker("inspect", *ids)) if ids else ():
            labels = one["Config"]["Labels"]
            ports = bool(one["HostConfig"]["PortBindings"])
            entry = Found(one["Id"], one["State"]["Status"], labels[f"{_LABEL}.config-hash"], ports)
            found.setdefault(labels[f"{_LABEL}.service"], []).append(entry)
        return found

    def networks(self) -> list[str]:
        return docker("network", "ls", "-q", "--filter", f"label={_LABEL}.project={self.project}").split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs an engine is left out where there is none, and that is told."""
    ours = Path(__file__).parent
    alone = [item for item in items if ours in item.path.parents and "shop" in getattr(item, "fixturenames", ())]
    alone = [item for item in alone if item.get_closest_marker("docker")]
    if alone and not engine_is_there():
        items[:] = [item for item in items if item not in alone]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "shop"
    folder.mkdir()
    made = Shop(folder, f"aihub-compose-{hashlib.sha256(bytes(folder)).hexdigest()[:10]}")
    yield made
    docker("compose", "-p", made.project, "--profile", "*", "down", "--volumes", "--timeout", "0", "--remove-orphans")
