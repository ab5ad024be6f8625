"""The contract suite's bench for containers: a compose project of the test's own, on a real engine."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.catalog.model import Containers, Service, Stack, Volume
from services.layout import Layout
from services.scaler.drivers.base import Running
from services.scaler.drivers.docker import DockerDriver
from services.scaler.drivers.docker.keeper import mark
from tests.contract.drivers.bench import PROGRAM, Bench, text

IMAGE = "aihub-test/web"
"""Any image with a Python will do."""


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


class DockerBench(Bench):
    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.folder = layout.data.parent
        self.project = f"aihub-contract-{hashlib.sha256(bytes(self.folder)).hexdigest()[:10]}"
        self.file = self.folder / "compose.yml"
        self.entries: dict[str, dict[str, Any]] = {}
        self.write()

    def make(self, **options: Any) -> DockerDriver:
        return DockerDriver(self.layout, self.post, **options)

    def stacks(self) -> Mapping[str, Stack]:
        return {self.project: Stack(self.project, (str(self.file),), str(self.folder))}

    def running(self, service: Service, mode: str, *more: str) -> Service:
        port = service.main.number if service.main else 0
        words = [word.replace("{port:other}", "81") for word in more]
        self.entries[service.name] = {
            "image": IMAGE,
            "init": True,
            "profiles": ["on-demand"],
            "command": ["python3", "-ISE", "/fault_server.py", mode, str(port), *words],
            "environment": {"BIND": "0.0.0.0"},
            # What a test tells its program, it tells by files of its own folder.
            "volumes": [f"{PROGRAM}:/fault_server.py:ro", f"{self.folder}:{self.folder}:ro"],
        }
        return replace(service, image=IMAGE, containers=Containers(self.project, service.name, {"default": ()}))

    def service(self, mode: str = "good", *more: str, name: str = "svc", **fields: Any) -> Service:
        made = super().service(mode, *more, name=name, **fields)
        self.amend(name)
        return made

    def amend(self, name: str, **fields: Any) -> None:
        """Change an entry of the compose file as its user would; every driver reads it again."""
        self.entries[name].update(fields)
        self.write()
        for driver in self.drivers:
            self.configure(driver)

    def volume(self, name: str, source: str, target: str) -> Service:
        """Give a service a named volume."""
        self.entries[name]["volumes"].append(f"{source}:{target}")
        self.services[name] = replace(self.services[name], volumes=(Volume(source, target),))
        self.amend(name)
        return self.services[name]

    def write(self) -> None:
        volumes = {
            words[0]: {}
            for entry in self.entries.values()
            for volume in entry["volumes"]
            if "/" not in (words := volume.split(":"))[0]
        }
        self.file.write_text(json.dumps({"services": self.entries, "volumes": volumes}))

    def containers(self, *filters: str) -> list[str]:
        """Names of the project's containers, stopped ones too."""
        label = f"label=com.docker.compose.project={self.project}"
        words = [word for one in (label, *filters) for word in ("--filter", one)]
        return docker("ps", "-a", *words, "--format", "{{.Names}}").split()

    def processes(self) -> set[str]:
        return {*self.containers("status=running"), *self.containers("status=paused")}

    async def who(self, endpoint: str) -> str:
        lines = (await text(endpoint, "/environment")).splitlines()
        return next(line.removeprefix("HOSTNAME=") for line in lines if line.startswith("HOSTNAME="))

    def is_from(self, running: Running, replica: str, word: str) -> bool:
        return docker("inspect", running.container or "", "--format", "{{.Id}}").startswith(word)

    async def kill(self, running: Running) -> None:
        docker("kill", running.container or "")

    async def freeze(self, running: Running) -> None:
        docker("pause", running.container or "")

    def remove(self) -> None:
        """Everything of the project, and of the hub's own containers."""
        # The keeper first: what it holds cannot be removed.
        for label in (f"aihub.data={mark(self.layout)}", f"com.docker.compose.project={self.project}"):
            if left := docker("ps", "-aq", "--filter", f"label={label}").split():
                docker("rm", "-f", "-v", *left)
        docker("compose", "-p", self.project, "--profile", "*", "-f", str(self.file), "down", "-v", "--timeout", "0")
        label = f"label=com.docker.compose.project={self.project}"
        if left := docker("volume", "ls", "-q", "--filter", label).split():
            docker("volume", "rm", *left)
