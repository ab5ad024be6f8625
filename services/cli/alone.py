"""Copying data where no hub runs: the folders of services without containers."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.cli.failure import Failure
from services.keep import folder
from services.layout import Layout
from services.supervisor import leftovers, lock
from services.supervisor.config import Exit, SupervisorError

_PIECE = 1 << 18


def kept(layout: Layout) -> dict[str, dict[str, Any]]:
    """As the hub tells it. Raises Failure where there is no hub's folder at all."""
    services = layout.data / "services"
    if not layout.state.is_dir():
        raise Failure(f"{layout.data} is no hub's data folder", code=Exit.BAD_INPUT, remedy="Name it: --data DIR")
    names = (
        sorted(path.name for path in services.iterdir() if path.is_dir() and any(path.iterdir()))
        if services.is_dir()
        else []
    )
    return {name: {"parts": [folder.TOP], "image": ""} for name in names}


@contextmanager
def held(layout: Layout) -> Iterator[None]:
    """No hub starts meanwhile. Raises Failure where one runs, or a killed one has left services running."""
    try:
        descriptor = lock.take(layout.lock)
    except SupervisorError as error:
        raise Failure(str(error), code=error.code) from None
    try:
        if leftovers.replica_roots(layout):
            raise Failure("services of a killed hub still run", remedy="End them with: aihub down")
        yield
    finally:
        os.close(descriptor)


def pieces(layout: Layout, name: str) -> Iterator[bytes]:
    """Raises OSError."""
    reading, writing = os.pipe()
    failed: list[OSError] = []

    def write() -> None:
        try:
            with os.fdopen(writing, "wb") as pipe:
                folder.write(layout.service_data(name), pipe)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with os.fdopen(reading, "rb") as pipe:
            while piece := pipe.read(_PIECE):
                yield piece
    finally:
        thread.join()
    if failed:
        raise failed[0]


def replace(layout: Layout, name: str, archive: Iterator[bytes]) -> None:
    """Raises Failure; the data are then as before."""
    try:
        folder.replace(layout.service_data(name), io.BufferedReader(_Pieces(archive), _PIECE))
    except tarfile.TarError as error:
        raise Failure(f"{name} was not restored: {error}") from None


class _Pieces(io.RawIOBase):
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
