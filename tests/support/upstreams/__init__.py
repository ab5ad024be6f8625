"""Real servers of different habits, put behind the hub by the end-to-end tests, and how each is started.

Every one takes `--port`, `--events FILE`, `--delay SECONDS` and `--keep-alive SECONDS`, and answers:

    GET /                a small text                     POST /echo-sha   SHA-256 and length of the body, streamed
    GET /size/N          N bytes                          GET /sse?n&every numbered ticks
    GET /slow?s=N        after N seconds                  /ws              echo (gunicorn apart)
    GET /health          200                              X-Instance       PID-RUN on every answer

The events file gets `start PID` at each start and `post ID` for each POST with an `X-Post-Id`: what reached the
program, told by the program. With `--alone` it gets `beside PID` where a copy starts while another one lives.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.upstream_env import toolchain

HERE = Path(__file__).parent
KINDS = ("uvicorn", "aiohttp", "node", "go", "gunicorn", "asyncio")
WITHOUT_WEBSOCKET = frozenset({"gunicorn"})


@dataclass(frozen=True, slots=True)
class Upstream:
    kind: str
    events: Path
    arguments: tuple[str, ...] = ()

    def command(self, port: str = "{port}") -> list[str]:
        """The argument list. Makes the environment of the upstreams where the kind needs it."""
        return [*self._program(), "--port", port, "--events", str(self.events), *self.arguments]

    def _program(self) -> list[str]:
        if self.kind == "asyncio":
            # Without `site` the interpreter is up in a third of the time.
            return [sys.executable, "-S", "-E", str(HERE / "on_asyncio.py")]
        tools = toolchain()
        if self.kind == "node":
            return [str(tools.node), str(HERE / "on_node.js")]
        if self.kind == "go":
            return [str(tools.go_program)]
        return [str(tools.python), str(HERE / f"on_{self.kind}.py")]

    @property
    def starts(self) -> int:
        return sum(line.startswith("start ") for line in self._lines())

    @property
    def posts(self) -> list[str]:
        """Ids of the POSTs that reached the program, in order, doubles kept."""
        return [line.removeprefix("post ") for line in self._lines() if line.startswith("post ")]

    def _lines(self) -> list[str]:
        return self.events.read_text().splitlines() if self.events.exists() else []


@dataclass(frozen=True, slots=True)
class Faulty:
    """A program of `faulty.py`."""

    habit: str
    events: Path

    def command(self, port: str = "{port}") -> list[str]:
        return [
            sys.executable,
            "-S",
            "-E",
            str(HERE / "faulty.py"),
            self.habit,
            "--port",
            port,
            "--events",
            str(self.events),
        ]

    @property
    def starts(self) -> int:
        return len(self.events.read_text().splitlines()) if self.events.exists() else 0
