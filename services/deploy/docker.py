"""The docker command as this package uses it: what it answers, what it says when it fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

_INSTALL = "Install Docker Engine (docs.docker.com/engine/install), or use --env local."
_INTERRUPTED = 130
_TO_END = 60.0
"""Seconds for a command that was interrupted."""


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
class Running:
    """One container of a project."""

    service: str
    name: str
    state: str
    health: str
    """Empty where it has no check."""


@dataclass(frozen=True, slots=True)
class Compose:
    """One project: its name, its files in the order of merging, and what they are filled in with."""

    folder: Path
    project: str
    files: tuple[Path, ...]
    environ: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        files = [word for file in self.files for word in ("--file", str(file))]
        where = ["--project-name", self.project, "--project-directory", str(self.folder)]
        return ["docker", "compose", *where, *files, *words]

    def ask(self, *words: str) -> str:
        """Run it, return its output. Raises DockerFault."""
        return run(self.command(*words), self._environ)

    def show(self, *words: str) -> None:
        """Run it with its progress on the terminal. Raises DockerFault. Interrupted, it is let end what it is at:
        killed in the middle it leaves containers of half a name."""
        process = subprocess.Popen(self.command(*words), env=self._environ)
        try:
            code = process.wait()
        except KeyboardInterrupt:  # typed at a terminal, it has reached compose as well
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_TO_END)
            raise
        except SystemExit:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_TO_END)
            raise
        if code == _INTERRUPTED:  # the same Ctrl-C is on its way to us
            raise KeyboardInterrupt
        if code:
            verb = next(word for word in words if not word.startswith("-") and word not in ("*", "monitor"))
            raise DockerFault(f"docker compose {verb} ended with {code}", "Its own words stand above.")

    def resolved(self) -> dict[str, Any]:
        """The project with all profiles and variables filled in; as YAML, since JSON comes without `x-` keys of
        services. Raises DockerFault."""
        document: dict[str, Any] = yaml.load(self.ask("--profile", "*", "config"), _Loader)
        return document

    def variables(self) -> list[str]:
        """Names that the files interpolate. Raises DockerFault."""
        rows = self.ask("--profile", "*", "config", "--variables").splitlines()[1:]
        return [row.split()[0] for row in rows if row.strip()]

    def containers(self) -> list[Running]:
        """All of the project, of every profile, also such as do not run. Raises DockerFault."""
        label = f"label=com.docker.compose.project={self.project}"
        columns = '{{.Label "com.docker.compose.service"}}\t{{.Names}}\t{{.State}}\t{{.Status}}'
        rows = run(["docker", "ps", "--all", "--filter", label, "--format", columns]).splitlines()
        return [_running(row) for row in rows]

    @property
    def _environ(self) -> dict[str, str]:
        # What somebody has exported for another project must not change which files and profiles are meant here.
        outer = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
        return {**outer, **self.environ}


class _Loader(yaml.SafeLoader):
    """Takes times and sizes as the texts they are."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":timestamp", ":float"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _running(row: str) -> Running:
    service, name, state, said = row.split("\t")
    health = re.search(r"\((?:health: )?(healthy|unhealthy|starting)\)", said)
    return Running(service, name, state, health[1] if health else "")


def engine() -> Engine:
    """Raises DockerFault where none answers."""
    try:
        said = json.loads(run(["docker", "version", "--format", "{{json .Server}}"]))
        folder = run(["docker", "info", "--format", "{{.DockerRootDir}}"]).strip()
    except DockerFault as fault:
        raise DockerFault(str(fault), fault.remedy or _INSTALL) from None
    major, _, minor = said["ApiVersion"].partition(".")
    return Engine(said["Version"], (int(major), int(minor)), said["Arch"], folder)


def compose_version() -> tuple[int, ...]:
    """Raises DockerFault where the plugin is missing."""
    try:
        said = run(["docker", "compose", "version", "--short"])
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


def image_labels(image: str) -> Mapping[str, str] | None:
    """None where it is not here."""
    try:
        said = run(["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image])
    except DockerFault:
        return None
    return json.loads(said) or {}


def port_holders() -> Mapping[int, tuple[str, str]]:
    """Published port → project and name of the container that has it, of every running container."""
    project = '{{.Label "com.docker.compose.project"}}'
    rows = run(["docker", "ps", "--format", f"{project}\t{{{{.Names}}}}\t{{{{.Ports}}}}"]).splitlines()
    found: dict[int, tuple[str, str]] = {}
    for row in rows:
        owner, name, ports = row.split("\t")
        for first, last in re.findall(r":(\d+)(?:-(\d+))?->", ports):
            found |= dict.fromkeys(range(int(first), int(last or first) + 1), (owner, name))
    return found


def services_running(project: str) -> frozenset[str]:
    """Raises DockerFault."""
    label = f"label=com.docker.compose.project={project}"
    column = '{{.Label "com.docker.compose.service"}}'
    return frozenset(run(["docker", "ps", "--filter", label, "--format", column]).split())


def volumes(project: str) -> list[str]:
    """Raises DockerFault."""
    label = f"label=com.docker.compose.project={project}"
    return run(["docker", "volume", "ls", "--quiet", "--filter", label]).split()


def has_builder() -> bool:
    return subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode == 0


def started_at(container: str) -> float:
    """Seconds of the wall clock. Raises DockerFault."""
    said = run(["docker", "inspect", "--format", "{{.State.StartedAt}}", container]).strip()
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", said).replace("Z", "+00:00")).timestamp()


def run(words: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environ)
    except FileNotFoundError:
        raise DockerFault("the docker command is not installed", _INSTALL) from None
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"{words[0]} ended with {done.returncode}"
        raise DockerFault(said, _remedy(said))
    return done.stdout


def _remedy(said: str) -> str:
    lower = said.lower()
    if "permission denied" in lower and "docker daemon" in lower:
        return "Add this user to the group docker (sudo usermod -aG docker $USER) and log in again."
    if "cannot connect" in lower or "failed to connect" in lower or "connection refused" in lower:
        where = os.environ.get("DOCKER_HOST")
        return f"$DOCKER_HOST is {where}: nothing answers there." if where else "Start it: sudo systemctl start docker"
    return ""
