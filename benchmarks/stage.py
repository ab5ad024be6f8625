"""What the benchmarks run on: a hub with a hub-like catalogue, a bare program, a request timed to its first byte."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.catalogue import Rests, Workshop
from tests.support.hub import Hub, running

PATIENCE = 30.0


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="aihub-bench-") as name:
        yield Path(name)


@contextlib.contextmanager
def hub_of(services: Mapping[str, Any], where: Path, files: int = 1) -> Iterator[Hub]:
    """A hub whose catalogue is split over so many files, `group0.yml` and so on."""
    if files == 1:
        with running(where, services) as hub:
            yield hub
        return
    names = list(services)
    for number in range(files):
        write_group(where, number, {name: services[name] for name in names[number::files]})
    with _included(where, files) as hub:
        yield hub


def write_group(where: Path, number: int, services: Mapping[str, Any]) -> None:
    """Replace one file of a split catalogue in one step."""
    fresh = where / f"group{number}.new"
    fresh.write_text(yaml.dump({"services": dict(services)}, Dumper=yaml.CSafeDumper, sort_keys=False))
    fresh.replace(where / f"group{number}.yml")


@contextlib.contextmanager
def _included(where: Path, files: int) -> Iterator[Hub]:
    hub = Hub(where, {})
    hub.catalogue.write_text(yaml.safe_dump({"include": [f"group{number}.yml" for number in range(files)]}))
    try:
        hub.up()
        yield hub
        hub.down()
    finally:
        hub.end()


def sleepers(workshop: Workshop, count: int) -> dict[str, Any]:
    """Services that nobody wakes."""
    return {f"svc{number:04}": workshop.upstream(f"svc{number:04}", rests=Rests()) for number in range(count)}


def first_byte(port: int, path: str) -> float:
    """Seconds from before the connection until the first byte of a 200. Raises RuntimeError at another answer."""
    begun = time.perf_counter()
    return first_byte_at("127.0.0.1", port, path) - begun


def first_byte_at(address: str, port: int, path: str) -> float:
    """The moment of the first byte; returns when the answer is whole. Raises RuntimeError at another than a 200."""
    with socket.create_connection((address, port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = connection.recv(65536)
        moment = time.perf_counter()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {answer[:400]!r}")
        while connection.recv(65536):
            pass
    return moment


def bare_start(command: Sequence[str], port: int, path: str = "/health") -> float:
    """Seconds from before the program is started until its first 200, probed as tightly as can be; then it is ended."""
    begun = time.perf_counter()
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError):
                return first_byte_at("127.0.0.1", port, path) - begun
            if time.perf_counter() - begun > PATIENCE:
                raise RuntimeError(f"{command} did not answer within {PATIENCE} s")
            time.sleep(0.0002)
    finally:
        program.kill()
        program.wait()


def wait_state(hub: Hub, service: str, state: str, limit: float = PATIENCE) -> None:
    end = time.monotonic() + limit
    while (seen := hub.state(service)) != state:
        if time.monotonic() > end:
            raise RuntimeError(f"{service} is {seen}, not {state}\n{hub.said()}")
        time.sleep(0.005)
