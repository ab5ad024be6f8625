"""A hub over compose projects of the test's own, on a real engine; whatever happens, nothing of them stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import yaml

from services.layout import Layout
from services.scaler.drivers.docker.keeper import mark
from tests.support.hub import AIHUB, Hub, HubFailed
from tests.support.ports import free_port

IMAGE = "aihub-test/web"
_LABEL = "com.docker.compose"
_CLIENT_LIMIT = 120.0

Services = Mapping[str, Any]


def docker(*words: str, cwd: Path | None = None, check: bool = True) -> str:
    """One command of the docker client; what it wrote. Raises AssertionError with what it complained of."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, cwd=cwd, timeout=_CLIENT_LIMIT)
    assert done.returncode == 0 or not check, f"docker {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def takes_anonymous_alone() -> bool:
    """Whether a plain `docker volume prune` of this engine leaves named volumes."""
    return int(docker("version", "--format", "{{.Server.Version}}").partition(".")[0]) >= 23


def prune_volumes(*filters: str) -> None:
    """All that are unused, named ones too."""
    docker("volume", "prune", "-f", *(["-a"] if takes_anonymous_alone() else []), *filters)


def web(name: str, *, rests: Mapping[str, str] | None = None, **entry: Any) -> dict[str, Any]:
    """An entry of the small web server. `rests`: of `x-hub.scaling`; where it is given the entry is on demand."""
    environment = {"NAME": name, **entry.pop("environment", {})}
    said = {"image": IMAGE, "init": True, "environment": environment, "expose": ["8080"], **entry}
    if rests is not None:
        hub = said.pop("x-hub", {})
        said |= {"profiles": ["on-demand"], "x-hub": {"port": 8080, "health": "/health", "scaling": dict(rests), **hub}}
    return said


@dataclass(frozen=True, slots=True)
class Seen:
    """A container as the engine has it."""

    id: str
    name: str
    state: str
    service: str
    image: str


class Project:
    """One compose project in a folder of its own, named so that no other on this engine is."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder / "compose.yml"
        self.name = f"aihub-e2e-{hashlib.sha256(bytes(folder)).hexdigest()[:8]}-{name}"

    def write(self, services: Services, **more: Any) -> None:
        """Replace its file in one step, as an editor does."""
        self.write_text(yaml.safe_dump({"name": self.name, "services": dict(services), **more}, sort_keys=False))

    def write_text(self, text: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.file)

    def compose(self, *words: str, check: bool = True) -> str:
        """`docker compose`, typed in the folder."""
        return docker("compose", "--progress", "quiet", *words, cwd=self.folder, check=check)

    def containers(self, service: str | None = None) -> list[Seen]:
        """Stopped ones too, in no order."""
        words = ["--filter", f"label={_LABEL}.project={self.name}"]
        words += ["--filter", f"label={_LABEL}.service={service}"] if service else []
        ids = docker("ps", "-aq", "--no-trunc", *words).split()
        told = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True) if ids else None
        # One that is removed at this very moment is left out by the engine, with a complaint.
        return [_seen(one) for one in json.loads(told.stdout)] if told else []

    def container(self, service: str) -> Seen:
        [found] = self.containers(service)
        return found

    def ids(self, *services: str) -> dict[str, str]:
        return {name: self.container(name).id for name in services}

    def address(self, service: str) -> str:
        """Of its container, for the host."""
        inspected = json.loads(docker("inspect", self.container(service).id))[0]
        networks = inspected["NetworkSettings"]["Networks"].values()
        return next(str(one["IPAddress"]) for one in networks if one["IPAddress"])

    def remove(self) -> None:
        _remove_all(f"{_LABEL}.project={self.name}")


def _seen(inspected: Mapping[str, Any]) -> Seen:
    state, labels = inspected["State"]["Status"], inspected["Config"]["Labels"]
    name = inspected["Name"].removeprefix("/")
    return Seen(inspected["Id"], name, state, labels[f"{_LABEL}.service"], inspected["Image"])


def _remove_all(label: str) -> None:
    """Containers, networks and volumes of one label; each thing by itself, so that no fault keeps the others."""
    wanted = ("--filter", f"label={label}")
    if found := docker("ps", "-aq", *wanted, check=False).split():
        docker("rm", "-f", "-v", *found, check=False)
    for kind in ("network", "volume"):
        if found := docker(kind, "ls", "-q", *wanted, check=False).split():
            docker(kind, "rm", *found, check=False)


class DockerHub(Hub):
    """`aihub up --driver docker`; its projects are written before it starts."""

    def __init__(
        self,
        folder: Path,
        projects: Sequence[Project],
        *,
        lazy: str | None = None,
        memory: str | None = None,
        domain: str | None = None,
        scaler: str | None = None,
        docker_host: str | None = None,
        names: str | None = None,
    ) -> None:
        """`docker_host`: of another engine than the machine's own."""
        self.folder = folder
        self.data = folder / "data"
        self.layout = Layout.at(self.data)
        self.projects = projects
        self.catalogue = projects[0].file
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._lazy = lazy
        self._memory = memory
        self._domain = domain
        self._scaler = scaler
        self._names = names
        self._process = None
        self.environ = {"DOCKER_HOST": docker_host} if docker_host else {}

    @property
    def command(self) -> list[str]:
        words = [str(AIHUB), "up", "--driver", "docker", "--data", str(self.data)]
        words += ["--listen", f"127.0.0.1:{self.port}"]
        for project in self.projects:
            words += ["--catalog", str(project.file)]
        said = {"--lazy": self._lazy, "--memory": self._memory, "--domain": self._domain, "--scaler": self._scaler}
        said["--names"] = self._names
        return words + [word for option, value in said.items() if value for word in (option, value)]

    @property
    def mark(self) -> str:
        return mark(self.layout)

    def own_containers(self, role: str = "") -> list[str]:
        """Those that belong to the hub as such. `role`: `aihub.gateway` or `aihub.keeper`."""
        words = ["--filter", f"label={role}"] if role else []
        return docker("ps", "-aq", "--filter", f"label=aihub.data={self.mark}", *words).split()

    def remove(self) -> None:
        for project in self.projects:
            project.remove()
        _remove_all(f"aihub.data={self.mark}")

    async def rested(self, service: str, how: str, limit: float = 20.0) -> None:
        """Have it rest now, `paused` or `stopped`, and wait until it does; one that is just in use is asked again."""
        end = time.monotonic() + limit
        said: Any = None
        while time.monotonic() < end:
            try:
                said = await asyncio.to_thread(self.command_api, "POST", f"/v1/services/{service}/sleep?to={how}")
                if said["state"] == how:
                    return
            except HubFailed as refused:
                said = refused
            await asyncio.sleep(0.05)
        raise HubFailed(f"{service} does not rest as {how} within {limit:g} s: {said}\n{self.said()}")


@contextmanager
def projects(folder: Path, *names: str) -> Iterator[list[Project]]:
    """Compose projects that no hub has seen yet."""
    made = [Project(folder / name, name) for name in names]
    try:
        yield made
    finally:
        for project in made:
            project.remove()


@contextmanager
def docker_hub(folder: Path, made: Sequence[Project], **options: Any) -> Iterator[DockerHub]:
    """A hub that is up; afterwards it is down by SIGTERM and no process or container of its own is left, or HubFailed
    tells what is."""
    hub = DockerHub(folder, made, **options)
    try:
        hub.up()
        yield hub
        hub.down()
        if left := hub.left():
            raise HubFailed(f"processes {sorted(left)} outlive the hub\n{hub.said()}")
        if left_over := hub.own_containers():
            raise HubFailed(f"its own containers {left_over} outlive the hub\n{hub.said()}")
    finally:
        hub.end()
        hub.remove()


class Caller:
    """A container whose own requests are steered from here: what it is told to fetch it fetches by name."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self.base = base

    async def peer(self, url: str, *, body: bytes | None = None, limit: float = 60.0) -> tuple[int, Mapping[str, Any]]:
        """What came back to it: the status (502 too where it could not connect) and what it tells of the answer."""
        target = f"{self.base}/peer?url={quote(url, safe='')}&timeout={limit:g}"
        async with self._session.request("POST" if body else "GET", target, data=body) as response:
            told = await response.json()
            return int(told.get("status", response.status)), told

    async def until_named(self, url: str, limit: float) -> tuple[int, Mapping[str, Any]]:
        """As `peer`, again while the name means nobody: a service that was just added gets it a moment later."""
        end = time.monotonic() + limit
        while True:
            status, told = await self.peer(url)
            if "error" not in told or time.monotonic() > end:
                return status, told
            await asyncio.sleep(0.05)

    async def lines(self, url: str) -> AsyncIterator[str]:
        """The lines of an answer that it passes on as they come. Raises aiohttp's errors where it is cut."""
        async with self._session.get(f"{self.base}/relay?url={quote(url, safe='')}&timeout=60") as response:
            assert response.status == 200
            async for line in response.content:
                yield line.decode().rstrip("\n")


@contextlib.asynccontextmanager
async def caller(project: Project, service: str) -> AsyncIterator[Caller]:
    """The small web server of a service that is awake anyhow."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=90)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as session:
        made = Caller(session, f"http://{project.address(service)}:8080")
        await eventually(lambda: _answers(made.base))
        yield made


def _answers(base: str) -> bool:
    host = base.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host[0], int(host[2]), timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def fetch(
    port: int, path: str, *, address: str = "127.0.0.1", host: str | None = None, limit: float = 60.0
) -> tuple[int, bytes]:
    """One GET at a published port of this machine."""
    connection = http.client.HTTPConnection(address, port, timeout=limit)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


async def eventually(true: Callable[[], bool], limit: float = 20.0, told: Callable[[], object] | None = None) -> None:
    """Wait until it is; `told`: for the report where it never is."""
    end = time.monotonic() + limit
    while not await asyncio.to_thread(true):
        assert time.monotonic() < end, f"not so after {limit:g} s" + (f": {told()}" if told else "")
        await asyncio.sleep(0.05)


def in_states(hub: DockerHub, wanted: Mapping[str, str | Collection[str]]) -> bool:
    now = hub.states()
    return all(now.get(name) in ({said} if isinstance(said, str) else said) for name, said in wanted.items())
