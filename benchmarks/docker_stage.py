"""What the container benchmarks run on: a hub over one compose project, and the same containers by the engine alone.

Owns the twin: a container like the hub's own (image, command, mounts, limits, network, no names), but of no compose
project, so that the hub looks away; and the engine's API without anything between. Who is measured in turn with whom
stands in the benchmarks.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stage import PATIENCE, first_byte_at, folder, wait_state
from tests.support.docker_hub import DockerHub, Project, docker, docker_hub, projects, web
from tests.support.hub import HubFailed

_SOCKET = "/var/run/docker.sock"
_LABEL = "aihub.bench"
_SHORTEST = 0.002
_SHARE = 1 / 100
"""The pause between two looks at a starting program, as the hub's driver has it."""
AWAKE = {"idle_timeout": "1h", "stop_after": "2h"}
"""What rests only when it is told to."""

Services = Mapping[str, Any]


def small(name: str) -> dict[str, Any]:
    """A server in Python that is up in 50 ms."""
    return web(name, rests=AWAKE)


def nginx() -> dict[str, Any]:
    """One that is up in a few milliseconds, so that nearly all of its start is the engine's."""
    hub = {"port": 80, "health": "/", "scaling": dict(AWAKE)}
    return {"image": "aihub-test/nginx", "init": True, "expose": ["80"], "profiles": ["on-demand"], "x-hub": hub}


class Engine:
    """The engine's API on one kept connection; one thread at a time."""

    def __init__(self) -> None:
        self._connection = _Connection("localhost", timeout=PATIENCE)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Raises RuntimeError with the engine's words."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, f"/v1.41{path}", text, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {said!r}")
        return json.loads(said) if said.strip() else None

    def close(self) -> None:
        self._connection.close()


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(_SOCKET)


@dataclass(frozen=True, slots=True)
class Twin:
    """One container that the engine alone looks after."""

    id: str
    port: int
    path: str

    def start(self, engine: Engine) -> float:
        """Seconds from before the start call until the first byte of a 200, at its own address."""
        begun = time.perf_counter()
        engine.call("POST", f"/containers/{self.id}/start")
        return self._answered(self.address(engine)) - begun

    def unpause(self, engine: Engine, address: str) -> float:
        """The same from before the call that thaws it; a thawed one has the address it had."""
        begun = time.perf_counter()
        engine.call("POST", f"/containers/{self.id}/unpause")
        return self._answered(address) - begun

    def pause(self, engine: Engine) -> None:
        engine.call("POST", f"/containers/{self.id}/pause")

    def stop(self, engine: Engine) -> None:
        engine.call("POST", f"/containers/{self.id}/stop?t=5")

    def address(self, engine: Engine) -> str:
        networks = engine.call("GET", f"/containers/{self.id}/json")["NetworkSettings"]["Networks"]
        return str(next(one["IPAddress"] for one in networks.values() if one["IPAddress"]))

    def _answered(self, address: str) -> float:
        begun = time.perf_counter()
        while True:
            with contextlib.suppress(OSError):
                return first_byte_at(address, self.port, self.path)
            waited = time.perf_counter() - begun
            if waited > PATIENCE:
                raise RuntimeError(f"{self.id[:12]} did not answer within {PATIENCE:g} s")
            time.sleep(max(_SHORTEST, waited * _SHARE))


class Stage:
    """A hub that is up, its project, and twins of its containers."""

    def __init__(self, hub: DockerHub, project: Project) -> None:
        self.hub = hub
        self.project = project
        self.engine = Engine()

    def twin(self, service: str) -> Twin:
        """A container like the one the hub has of this service, made and never started. The service has been woken at
        least once, so the hub's is as the driver left it. Raises RuntimeError."""
        found = self.engine.call("GET", f"/containers/{self.project.container(service).id}/json")
        config = {key: value for key, value in found["Config"].items() if key not in ("Hostname", "Labels")}
        network = found["HostConfig"]["NetworkMode"]
        body = {
            **config,
            "Labels": {_LABEL: self.project.name},
            "HostConfig": found["HostConfig"],
            "NetworkingConfig": {"EndpointsConfig": {network: {}}},
        }
        made = self.engine.call("POST", f"/containers/create?name={self.project.name}-twin-{service}", body)
        port = min(int(one.partition("/")[0]) for one in config["ExposedPorts"])
        return Twin(made["Id"], port, "/")

    def rest(self, service: str, depth: str) -> None:
        """Have it `paused` or `stopped` when this returns."""
        end = time.monotonic() + PATIENCE
        while self.hub.state(service) != depth:
            with contextlib.suppress(HubFailed):
                self.hub.command_api("POST", f"/v1/services/{service}/sleep?to={depth}")
            if time.monotonic() > end:
                raise RuntimeError(f"{service} is {self.hub.state(service)}, not {depth}\n{self.hub.said()}")

    def all_known(self, names: Sequence[str]) -> None:
        """Wait until the hub routes to every one of them."""
        for name in names:
            wait_state(self.hub, name, "stopped")

    def close(self) -> None:
        self.engine.close()
        if found := docker("ps", "-aq", "--filter", f"label={_LABEL}={self.project.name}", check=False).split():
            docker("rm", "-f", "-v", *found, check=False)


@contextlib.contextmanager
def stage(services: Services, name: str = "bench", **options: Any) -> Iterator[Stage]:
    """A hub over one project of these services; afterwards nothing of it is left on the engine. `options`: of the
    hub."""
    with folder() as where, projects(Path(where), name) as made:
        [project] = made
        project.write(services)
        with contextlib.ExitStack() as stack:
            hub = stack.enter_context(docker_hub(where, made, **options))
            set_up = Stage(hub, project)
            stack.callback(set_up.close)
            yield set_up
