"""Takes in a changed catalogue while the hub runs. A faulty one never replaces the good one."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from services.catalog.load import CatalogError
from services.catalog.model import Catalog

log = logging.getLogger(__name__)

INTERVAL = 0.1
"""Seconds between looks at the files; a look is one stat a file."""

_AGAIN = 1.0
"""Seconds until what could not be written is tried again."""

Marks = tuple[tuple[str, int, int], ...]


class Reader(Protocol):
    def read(self, files: Sequence[Path]) -> Catalog:
        """Raises CatalogError with every fault."""


class Reloader:
    """`take` may raise OSError, where the disk is full for instance: the catalogue is then taken in a second later."""

    def __init__(self, files: Sequence[Path], reader: Reader, take: Callable[[Catalog], None]) -> None:
        self._files = files
        self._reader = reader
        self._take = take
        self._seen: Marks = ()
        self._turn = asyncio.Lock()
        self.fault = ""
        """Why the files as they are now were not taken in; empty while they are."""

    def first(self) -> Catalog:
        """Read at the start. Raises CatalogError."""
        catalog = self._reader.read(self._files)
        self._seen = _marks(catalog.files)
        return catalog

    async def watch(self) -> None:
        """Look for ever; ends when cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            if not await self.catch_up():
                await asyncio.sleep(_AGAIN)

    async def catch_up(self) -> bool:
        """Take in what the files say now, where they have changed since they were read; `fault` says why that could
        not be done. False where it is to be tried again though the files stay as they are. Raises nothing."""
        async with self._turn:
            if _marks([mark[0] for mark in self._seen]) == self._seen:
                return True
            return await self._reload()

    async def _reload(self) -> bool:
        # Marks are taken before reading: a file that changes meanwhile is read again.
        before = _marks([mark[0] for mark in self._seen])
        try:
            catalog = await asyncio.to_thread(self._reader.read, self._files)
        except CatalogError as error:
            self._seen, self.fault = before, str(error)
            log.error("the catalogue has faults; the last good one stays in force\n%s", error)
            return True
        try:
            self._take(catalog)
        except OSError as error:
            self.fault = f"the catalogue could not be taken in, and is tried again until it can: {error}"
            log.error("%s", self.fault)
            return False
        kept = {mark[0]: mark for mark in before}
        self._seen = tuple(kept.get(mark[0], mark) for mark in _marks(catalog.files))
        self.fault = ""
        log.info("took in the catalogue: %d services from %d files", len(catalog.services), len(catalog.files))
        return True


def _marks(files: Sequence[str]) -> Marks:
    return tuple(_mark(file) for file in files)


def _mark(file: str) -> tuple[str, int, int]:
    try:
        stat = os.stat(file)
    except OSError:
        return (file, 0, -1)
    return (file, stat.st_mtime_ns, stat.st_size)
