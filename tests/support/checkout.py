"""A checkout of its own for a deployment under test: the files of this one, its own `.env`, project name and data.

Nothing of a deployment that somebody uses is touched: the project is called otherwise, and so are its volumes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
OVERRIDE = HERE / "tests" / "support" / "compose.stand-ins.yml"
_PARTS = (
    *("catalog", "config", "monitoring", "requirements", "scripts", "services"),
    *(".dockerignore", "Dockerfile", "LICENSE", "README.md", "pyproject.toml"),
    *("docker-compose.distributed-ai.yml", "docker-compose.prod.yml"),
)


@dataclass(frozen=True, slots=True)
class Checkout:
    root: Path
    data: Path
    project: str

    @classmethod
    def make(cls, folder: Path, project: str) -> Checkout:
        root = folder / "checkout"
        root.mkdir(parents=True)
        for name in _PARTS:
            source = HERE / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, root / name)
        shutil.copy2(OVERRIDE, root / OVERRIDE.name)
        _lend_environment(root)
        return cls(root, folder / "data", project)

    def deploy(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The script as people run it, with the stand-ins' images."""
        process = self.begin(*words, **environment)
        said, _ = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, said)

    def begin(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """The same, under way, as the leader of a process group, as a shell's job is."""
        stand_ins = {} if self._deployed else {"AIHUB_COMPOSE_OVERRIDE": str(self.root / OVERRIDE.name)}
        return subprocess.Popen(
            ["./scripts/deploy-distributed-ai.sh", "--data", str(self.data), *words],
            cwd=self.root,
            env={**os.environ, **stand_ins, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def up(self, *words: str) -> str:
        """Deploy by the project's own name; what it said. Raises AssertionError where it failed."""
        done = self.deploy(*words, "--project-name", self.project)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def aihub(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.root / ".venv" / "bin" / "aihub"), *words, "--data", str(self.data)]
        return subprocess.run(command, text=True, capture_output=True, check=False, cwd=self.root)

    def containers(self) -> list[str]:
        return _rows("ps", "--all", "--format", "{{.Names}}", "--filter", self._label)

    def networks(self) -> list[str]:
        return _rows("network", "ls", "--format", "{{.Name}}", "--filter", self._label)

    def volumes(self) -> list[str]:
        return _rows("volume", "ls", "--format", "{{.Name}}", "--filter", self._label)

    def of_hub(self) -> list[str]:
        """Containers and networks that the hub made by itself."""
        mark = f"label=aihub.data={hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]}"
        kinds = (("ps", "--all", "--format", "{{.Names}}"), ("network", "ls", "--format", "{{.Name}}"))
        return [row for words in kinds for row in _rows(*words, "--filter", mark)]

    def remove(self) -> None:
        """All of it, whatever state it is in."""
        self.deploy("--env", "dev", "--down", "--volumes", "--project-name", self.project)
        for container in [*self.containers(), *self.of_hub()]:
            subprocess.run(["docker", "rm", "--force", "--volumes", container], capture_output=True, check=False)
        for network in [*self.networks(), *self.of_hub()]:
            subprocess.run(["docker", "network", "rm", network], capture_output=True, check=False)
        for volume in self.volumes():
            subprocess.run(["docker", "volume", "rm", volume], capture_output=True, check=False)

    @property
    def _deployed(self) -> bool:
        """What was said then holds on."""
        return (self.root / ".env").exists() and "COMPOSE_FILE=" in (self.root / ".env").read_text()

    @property
    def _label(self) -> str:
        return f"label=com.docker.compose.project={self.project}"


def _rows(*words: str) -> list[str]:
    done = subprocess.run(["docker", *words], text=True, capture_output=True, check=True)
    return sorted(row for row in done.stdout.splitlines() if row)


def _lend_environment(root: Path) -> None:
    """The Python of the tests, as if `scripts/setup` had made one there."""
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, words in (("python", ""), ("aihub", "-m services.cli.main")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} {words} "$@"\n')
        program.chmod(0o755)
    wanted = [root / "requirements" / f"{name}.txt" for name in ("hub", "build", "envoy")]
    stamp = f"{root}\n".encode() + b"".join(path.read_bytes() for path in (*wanted, root / "pyproject.toml"))
    (root / ".venv" / ".stamp-hub").write_text(f"{hashlib.sha256(stamp).hexdigest()}  -\n")
