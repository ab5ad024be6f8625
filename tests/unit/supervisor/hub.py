"""A supervisor in a process of its own, with the stand-in scaler and the real Envoy, for tests to start and harm."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from services.layout import Layout
from services.supervisor import record
from services.supervisor.proc import Identity

ROOT = Path(__file__).parents[3]


class Hub:
    def __init__(self, data: Path, port: int) -> None:
        self.layout = Layout.at(data)
        self.data = data
        self.port = port
        self.process: subprocess.Popen[str] | None = None
        self.said = data.parent / f"{data.name}.said"

    def command(self, port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "services.supervisor"),
            *("--catalog", "none.yml", "--data", str(self.data), "--listen", f"127.0.0.1:{port}"),
            *("--scaler", "tests.unit.supervisor.stand_in_scaler"),
        ]

    def start(self, *, port: int | None = None) -> subprocess.Popen[str]:
        with self.said.open("a") as said:
            self.process = subprocess.Popen(
                self.command(port or self.port),
                stderr=said,
                stdin=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        return self.process

    def up(self) -> Hub:
        already = self.output.count("hub is up")
        self.start()
        self.eventually(lambda: self.output.count("hub is up") > already)
        return self

    def eventually(self, holds: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds} s; the supervisor said:\n{self.output}"
            assert self.process is None or self.process.poll() is None, f"the supervisor ended:\n{self.output}"
            time.sleep(0.01)

    def end(self, seconds: float = 20.0) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    @property
    def output(self) -> str:
        return self.said.read_text() if self.said.exists() else ""

    def part(self, name: str) -> Identity:
        return record.read(self.layout.processes)[name]

    def parts(self) -> list[Identity]:
        return list(record.read(self.layout.processes).values())

    def changed(self, name: str, before: Identity) -> bool:
        now = record.read(self.layout.processes).get(name)
        return now is not None and now != before

    def get(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            return int(answer.status)

    def ask_scaler(self, seconds: float = 10.0) -> int:
        """The pid that answers on the check socket."""
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(seconds)
            caller.connect(str(self.layout.check_socket))
            return int(caller.recv(32))

    def clean(self) -> None:
        left = self.parts()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for one in left:
            one.send(signal.SIGKILL)
