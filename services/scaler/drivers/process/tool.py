"""Runs uv and npm: one program, its lines as they come, its end when it is no longer wanted.

It carries the mark of this data folder, so that a scaler which comes after a `kill -9` finds and ends it: two
installers on one environment would spoil it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services import disk
from services.scaler.drivers.base import PrepareError
from services.scaler.drivers.process import progress
from services.scaler.drivers.process.proc import MARK

_LOOK = 0.5
_LAST_LINES = 60
_LONGEST_LINE = 1 << 20
# How this user reaches registries; nothing else of the hub's own environment.
_PASSED_ON = ("PATH", "HOME", "USER", "TMPDIR", "TZ", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
_PASSED_PREFIXES = ("UV_", "NPM_CONFIG_", "XDG_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Tools:
    """`each_look` of `run` is called twice a second while the program runs."""

    def __init__(self, mark: str, folder: Path, floor: int) -> None:
        self._mark = mark
        self._folder = folder
        self._floor = floor

    def check_room(self) -> None:
        """Raises PrepareError where less than the floor is free."""
        free = disk.free(self._folder)
        if free < self._floor:
            raise PrepareError(
                f"only {free >> 20} MiB of disk are free, and nothing is installed below {self._floor >> 20} MiB:"
                " `aihub df` shows what takes it, `aihub prune` frees environments"
            )

    async def run(
        self,
        what: str,
        words: Sequence[str | Path],
        *,
        folder: Path,
        variables: Mapping[str, str],
        on_line: Callable[[str], None],
        each_look: Callable[[], None],
    ) -> None:
        """Raises PrepareError: in the words of `progress.failure`, or because the disk ran low meanwhile. Cancelled, it
        ends the program and all it began before it returns."""
        program = await asyncio.create_subprocess_exec(
            *map(str, words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env={**_passed_on(), **variables, MARK: self._mark},
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
        last: deque[str] = deque(maxlen=_LAST_LINES)
        assert program.stdout is not None
        reading = asyncio.ensure_future(_read(program.stdout, last, on_line))
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=_LOOK)
                each_look()
                self.check_room()
            await reading
            code = await program.wait()
        finally:
            _end(program)
            reading.cancel()
            await asyncio.gather(reading, program.wait(), return_exceptions=True)
        if code != 0:
            raise PrepareError(progress.failure(what, list(last)))


async def _read(stream: asyncio.StreamReader, last: deque[str], on_line: Callable[[str], None]) -> None:
    while line := await stream.readline():
        text = line.decode(errors="replace").rstrip()
        last.append(text)
        on_line(text)


def _end(program: asyncio.subprocess.Process) -> None:
    try:
        # It leads its session and its group, and its children (compilers, node) stay in that.
        os.killpg(program.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _passed_on() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.upper() in _PROXIES or name.upper().startswith(_PASSED_PREFIXES)
    }
