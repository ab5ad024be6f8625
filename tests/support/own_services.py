"""Services of our own as programs of a test, as the catalogue runs them without Docker, and others to stand beside."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.service_env import ROOT, programs

_READY_WITHIN = 60.0
RUN = ROOT / "services" / "web_service" / "run.py"


@contextmanager
def running(
    words: Sequence[object], port: int, folder: Path, environment: Mapping[str, str], ready: str
) -> Iterator[str]:
    """The address of a program that has answered; it gets SIGTERM afterwards and has to end by it, with 0."""
    log = folder / f"{port}.log"
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    with log.open("wb") as output:
        process = subprocess.Popen([str(word) for word in words], stdout=output, stderr=output, env=plain, cwd=folder)
    base = f"http://127.0.0.1:{port}"
    try:
        until_answered(base + ready, process, log)
        yield base
    finally:
        process.terminate()
        try:
            code = process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 0 or "run.py" not in str(words), f"ended with {code}: {log.read_text()[-2000:]}"


def until_answered(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _READY_WITHIN
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.02)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def own(package: str, environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """A service of our own, as the catalogue runs it without Docker."""
    port, service = free_port(), package.replace("_", "-")
    words = [programs(service) / "python", "-W", "error::SyntaxWarning", RUN, f"services.{package}", "--port", port]
    with running(words, port, folder, environment, "/healthz") as base:
        yield base
