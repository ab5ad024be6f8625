"""A whole hub for a test: `aihub up` in a folder of its own, asked by its public addresses and commands alone."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.layout import Layout
from tests.support import catalogue
from tests.support.ports import free_port
from tests.support.process_tree import alive, descendants, mentioning

AIHUB = Path(sys.executable).parent / "aihub"
UP_WITHIN = 30.0
DOWN_WITHIN = 30.0
PARTS = frozenset({"supervisor", "scaler", "envoy"})
ASLEEP = frozenset({"paused", "stopped"})


class HubFailed(Exception):
    """Carries what the hub had to say."""


class Hub:
    """One hub. `services` is its catalogue; `memory` its budget, as the command takes it; `scaler` a module to run in
    the place of the scaler."""

    def __init__(
        self,
        folder: Path,
        services: Mapping[str, Any],
        *,
        memory: str | None = None,
        domain: str | None = None,
        scaler: str | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.layout = Layout.at(self.data)
        self.catalogue = folder / "compose.yml"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._memory = memory
        self._domain = domain
        self._scaler = scaler
        self._process: subprocess.Popen[bytes] | None = None
        catalogue.write(self.catalogue, services)

    # -- life --------------------------------------------------------------------------------------------------------

    @property
    def command(self) -> list[str]:
        words = [str(AIHUB), "up", "--catalog", str(self.catalogue), "--data", str(self.data)]
        words += ["--listen", f"127.0.0.1:{self.port}"]
        words += ["--domain", self._domain] if self._domain else []
        words += ["--scaler", self._scaler] if self._scaler else []
        return words + (["--memory", self._memory] if self._memory else [])

    def up(self) -> None:
        """Start it and wait until it answers. Raises HubFailed with its output."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(self.command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self._wait(lambda: self.reachable() and self.pids().keys() >= PARTS, UP_WITHIN)

    def down(self) -> None:
        """SIGTERM, as a service manager does. Raises HubFailed where it does not end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(DOWN_WITHIN)
        except subprocess.TimeoutExpired:
            raise HubFailed(f"still up {DOWN_WITHIN} s after SIGTERM\n{self.said()}") from None

    def end(self) -> None:
        """Leave nothing behind, however it went; for the end of a test."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(DOWN_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)

    def left(self) -> set[int]:
        """Living processes that belong to this hub: its children and all that name its folder."""
        found = mentioning(str(self.folder))
        if self._process is not None and self._process.poll() is None:
            found |= descendants(self._process.pid)
        return {pid for pid in found if alive(pid) and pid != os.getpid()}

    def kill(self, part: str) -> int:
        """kill -9 of `supervisor`, `scaler` or `envoy`; returns the pid."""
        pid = self.pids()[part]
        os.kill(pid, signal.SIGKILL)
        if part == "supervisor" and self._process is not None:
            self._process.wait()
        return pid

    # -- questions ---------------------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """Pid of each part that lives now."""
        try:
            known = json.loads(self.layout.processes.read_text())
        except (OSError, ValueError):
            return {}
        found = {part: known[part]["pid"] for part in PARTS if part in known}
        return {part: pid for part, pid in found.items() if alive(pid)}

    def command_api(self, method: str, path: str, limit: float = 60.0) -> Any:
        """One request to the commands' own socket, `/v1/…`, without a command's start-up. Raises HubFailed."""
        connection = _UnixConnection(str(self.layout.admin_socket), limit)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            if response.status >= 400:
                raise HubFailed(f"{method} {path}: {response.status} {body!r}")
            return json.loads(body)
        finally:
            connection.close()

    def reachable(self) -> bool:
        try:
            return self.ask("/api/health", limit=2.0)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def ask(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, limit: float = 60.0
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request on a connection of its own, path and headers untouched. Header names come back in lower case."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit)
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def state(self, service: str) -> str:
        """The hub's view of one service; wakes nothing."""
        status, _, body = self.ask(f"/api/health/{service}")
        if status == 404:
            return "unknown"
        return str(json.loads(body)["state"])

    def states(self) -> Mapping[str, str]:
        """Every service's state as `/api/health` tells it."""
        answer = json.loads(self.ask("/api/health")[2])
        return dict(answer["services"])

    def status(self) -> Mapping[str, Any]:
        """`aihub status --json`."""
        answer: Mapping[str, Any] = json.loads(self.cli("status", "--json").stdout)
        return answer

    def replicas(self, service: str) -> list[Mapping[str, Any]]:
        return list(self.status()["services"][service]["replicas"])

    def cli(self, *words: str, limit: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run one aihub command against this hub's data."""
        command = [str(AIHUB), *words, "--data", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)

    def said(self) -> str:
        """The tail of everything it wrote, for a failing test's report."""
        files = [self._output, *sorted(self.layout.logs.glob("*.log"))]
        return "\n".join(
            f"== {file.name}\n" + file.read_text(errors="replace")[-4000:] for file in files if file.exists()
        )

    async def until(self, service: str, states: str | Collection[str], limit: float = 20.0) -> str:
        """Wait until the service is in one of these states; return which. Raises HubFailed."""
        wanted = {states} if isinstance(states, str) else set(states)
        end = time.monotonic() + limit
        state = "never asked"
        while time.monotonic() < end:
            try:
                state = await asyncio.to_thread(self.state, service)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                state = repr(error)
            if state in wanted:
                return state
            await asyncio.sleep(0.02)
        raise HubFailed(f"{service} is {state}, not {sorted(wanted)}, after {limit} s\n{self.said()}")

    async def asleep(self, service: str, limit: float = 20.0) -> str:
        return await self.until(service, ASLEEP, limit)

    def rewrite(self, services: Mapping[str, Any]) -> None:
        catalogue.write(self.catalogue, services)

    @property
    def _output(self) -> Path:
        return self.folder / "up.out"

    def _wait(self, ready: Callable[[], bool], limit: float) -> None:
        assert self._process is not None
        end = time.monotonic() + limit
        while not ready():
            if self._process.poll() is not None:
                raise HubFailed(f"`aihub up` ended with {self._process.returncode}\n{self.said()}")
            if time.monotonic() > end:
                raise HubFailed(f"`aihub up` does not answer after {limit} s\n{self.said()}")
            time.sleep(0.02)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, limit: float) -> None:
        super().__init__("localhost", timeout=limit)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextmanager
def running(folder: Path, services: Mapping[str, Any], **options: str | None) -> Iterator[Hub]:
    """A hub that is up; afterwards it is down by SIGTERM and nothing of it lives, or HubFailed tells what does."""
    hub = Hub(folder, services, **options)
    try:
        hub.up()
        yield hub
        hub.down()
        if left := hub.left():
            raise HubFailed(f"processes {sorted(left)} outlive the hub\n{hub.said()}")
    finally:
        hub.end()
