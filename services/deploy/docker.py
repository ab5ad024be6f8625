"""The docker command as this package uses it: what it answers, what it says when it fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class DockerFault(Exception):
    """The command's own words, and what mends it where that is known."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Engine:
    version: str
    api: tuple[int, int]
    architecture: str
    folder: str
    """Where it keeps images, on its own machine."""


@dataclass(frozen=True, slots=True)
class Compose:
    """One project: its files, in the order of merging."""

    folder: Path
    files: tuple[Path, ...]
    environ: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        files = [word for file in self.files for word in ("-f", str(file))]
        return ["docker", "compose", "--project-directory", str(self.folder), *files, *words]

    def ask(self, *words: str) -> str:
        """Run it, return its output. Raises DockerFault."""
        return _run(self.command(*words), {**os.environ, **self.environ})

    def show(self, *words: str) -> None:
        """Run it with its progress on the terminal. Raises DockerFault."""
        code = subprocess.run(self.command(*words), env={**os.environ, **self.environ}, check=False).returncode
        if code:
            raise DockerFault(f"docker compose {' '.join(words)} ended with {code}", "Its own words stand above.")

    def resolved(self) -> dict[str, Any]:
        """The project with all profiles and variables filled in. Raises DockerFault."""
        document: dict[str, Any] = json.loads(self.ask("--profile", "*", "config", "--format", "json"))
        return document

    def variables(self) -> list[str]:
        """Names that the files interpolate. Raises DockerFault."""
        rows = self.ask("--profile", "*", "config", "--variables").splitlines()[1:]
        return [row.split()[0] for row in rows if row.strip()]


def engine() -> Engine:
    """Raises DockerFault where none answers."""
    try:
        said = json.loads(_run(["docker", "version", "--format", "{{json .Server}}"]))
        folder = _run(["docker", "info", "--format", "{{.DockerRootDir}}"]).strip()
    except DockerFault as fault:
        raise DockerFault(str(fault), _remedy(str(fault))) from None
    major, _, minor = said["ApiVersion"].partition(".")
    return Engine(said["Version"], (int(major), int(minor)), said["Arch"], folder)


def compose_version() -> tuple[int, ...]:
    """Raises DockerFault where the plugin is missing."""
    try:
        said = _run(["docker", "compose", "version", "--short"])
    except DockerFault:
        raise DockerFault(
            "docker has no compose plugin", "Install docker-compose-plugin (docs.docker.com/compose/install)."
        ) from None
    return tuple(int(part) for part in re.findall(r"\d+", said)[:3])


def image_architecture(image: str) -> str | None:
    """Of an image that is here; None where it has yet to be pulled."""
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Architecture}}", image],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None if done.returncode == 0 else None


def port_holders() -> Mapping[int, str]:
    """Published port → container that has it, of every running container."""
    rows = _run(["docker", "ps", "--format", "{{.Names}}\t{{.Ports}}"]).splitlines()
    found: dict[int, str] = {}
    for row in rows:
        name, _, ports = row.partition("\t")
        found |= {int(number): name for number in re.findall(r":(\d+)->", ports)}
    return found


def _run(words: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environ)
    except FileNotFoundError:
        raise DockerFault(
            "the docker command is not installed",
            "Install Docker Engine (docs.docker.com/engine/install), or use --env local.",
        ) from None
    if done.returncode:
        raise DockerFault(done.stderr.strip() or done.stdout.strip() or f"{words[0]} ended with {done.returncode}")
    return done.stdout


def _remedy(said: str) -> str:
    lower = said.lower()
    if "permission denied" in lower:
        return "Add this user to the group docker (sudo usermod -aG docker $USER) and log in again."
    if "cannot connect" in lower or "failed to connect" in lower or "connection refused" in lower:
        where = os.environ.get("DOCKER_HOST")
        return f"$DOCKER_HOST is {where}: nothing answers there." if where else "Start it: sudo systemctl start docker"
    return "Install Docker Engine (docs.docker.com/engine/install), or use --env local."
