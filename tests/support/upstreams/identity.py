"""What every Python upstream shares: its arguments, its name for itself, and the record of what reached it.

Imported by the programs beside it, which run as scripts; it needs the standard library alone.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import time
from pathlib import Path

PATTERN = b"0123456789abcdef"
LARGEST = 64 * 1024 * 1024


class Identity:
    """One run of an upstream: `header` tells two runs apart even where the kernel gave them the same pid."""

    def __init__(self, kind: str, options: argparse.Namespace) -> None:
        self.kind = kind
        self.events: Path | None = options.events
        self.record(f"start {os.getpid()}")
        self.run = sum(line.startswith("start ") for line in self._lines()) or 1
        if options.alone:
            self._be_alone()

    @property
    def header(self) -> str:
        return f"{os.getpid()}-{self.run}"

    @property
    def hello(self) -> bytes:
        return f"hello from {self.kind}\n".encode()

    def post(self, identifier: str | None) -> None:
        """Note that a request which must not be sent twice has arrived."""
        if identifier:
            self.record(f"post {identifier}")

    def _be_alone(self) -> None:
        """Hold the record until this program is no more, or note that another copy of it runs."""
        assert self.events is not None, "--alone asks for --events"
        self._held = os.open(self.events, os.O_RDONLY)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.record(f"beside {os.getpid()}")

    def record(self, line: str) -> None:
        if self.events is None:
            return
        # One write to a file opened for appending: lines of several processes never mix.
        handle = os.open(self.events, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)

    def _lines(self) -> list[str]:
        return self.events.read_text().splitlines() if self.events else []


def options(description: str) -> argparse.Namespace:
    """The arguments that every upstream takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--events", type=Path, default=None, help="file that gets a line for each start and each POST")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before the program listens")
    parser.add_argument("--keep-alive", type=float, default=2.0, help="seconds an idle connection is kept")
    parser.add_argument("--timeout", type=int, default=30, help="gunicorn's patience with a silent worker, seconds")
    parser.add_argument("--ballast", type=int, default=0, help="MiB of memory to hold")
    parser.add_argument("--think", type=float, default=0.0, help="seconds a POST stops everything (asyncio alone)")
    parser.add_argument("--alone", action="store_true", help="note `beside PID` in the file where another copy runs")
    parser.add_argument("--stubborn", action="store_true", help="ignore SIGTERM (asyncio alone)")
    return parser.parse_args()


def begin(kind: str, chosen: argparse.Namespace) -> Identity:
    """Note the start, then wait as long as asked."""
    identity = Identity(kind, chosen)
    time.sleep(chosen.delay)
    return identity


def sized(length: int) -> bytes:
    """The answer of `/size/LENGTH`."""
    if not 0 <= length <= LARGEST:
        raise ValueError(f"{length} is not between 0 and {LARGEST}")
    return (PATTERN * (length // len(PATTERN) + 1))[:length]


def digest_answer(sha256: str, length: int) -> bytes:
    return json.dumps({"sha256": sha256, "length": length}).encode()


def tick(number: int) -> bytes:
    return f"id: {number}\ndata: {number}\n\n".encode()
