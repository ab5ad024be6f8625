"""Data of services that are processes: one folder each. And their environments of the version before."""

from __future__ import annotations

import asyncio
import os
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from services.catalog.model import Service
from services.keep import folder
from services.layout import Layout
from services.scaler.drivers.base import ProgressReport
from services.scaler.drivers.keeping import KeepError, Newer
from services.scaler.drivers.process.install import Installer

_PIECE = 1 << 18


class FolderKeeping:
    def __init__(self, layout: Layout, installer: Installer) -> None:
        self._layout = layout
        self._installer = installer

    async def parts(self, service: Service) -> Sequence[str]:
        own = self._layout.service_data(service.name)
        return (folder.TOP,) if await asyncio.to_thread(lambda: own.is_dir() and any(own.iterdir())) else ()

    async def save(self, service: Service) -> AsyncIterator[bytes]:
        def write(pipe: BinaryIO) -> None:
            folder.write(self._layout.service_data(service.name), pipe)

        reading, writing = os.pipe()
        with ThreadPoolExecutor(2, "copy") as threads:
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(threads, _into, writing, write)
            try:
                while piece := await loop.run_in_executor(threads, os.read, reading, _PIECE):
                    yield piece
            finally:
                os.close(reading)
                try:
                    await work
                except (OSError, tarfile.TarError) as error:
                    raise KeepError(f"{service.name}: its data cannot be copied: {error}") from error

    async def load(self, service: Service, archive: AsyncIterator[bytes]) -> None:
        own = self._layout.service_data(service.name)
        reading, writing = os.pipe()
        with ThreadPoolExecutor(2, "copy") as threads:
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(threads, _out_of, reading, lambda pipe: folder.replace(own, pipe))
            try:
                async for piece in archive:
                    await loop.run_in_executor(threads, _write_all, writing, piece)
            except BrokenPipeError:
                pass  # whoever reads has given up and says why
            finally:
                # Cut short, the archive lacks its end, and what was there stays.
                os.close(writing)
                try:
                    await work
                except (OSError, tarfile.TarError) as error:
                    raise KeepError(f"{service.name}: its data cannot be put back: {error}") from error

    async def freeze(self, service: Service) -> bool:
        return False

    async def thaw(self, service: Service) -> None:
        pass

    async def halt(self, service: Service) -> bool:
        return False

    async def go_on(self, service: Service) -> None:
        pass

    async def fetch(self, service: Service, report: ProgressReport) -> Newer | None:
        package = service.local.package if service.local else None
        if package is None:
            return None
        return await self._installer.upgrade(service.name, package, report)

    async def back(self, service: Service, newer: Newer) -> None:
        self._installer.hold(service.name, newer.after, newer.before)

    def logs(self, service: Service, tail: int, *, follow: bool) -> AsyncIterator[bytes] | None:
        return None


def _into(descriptor: int, write: Callable[[BinaryIO], None]) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        write(pipe)


def _out_of(descriptor: int, read: Callable[[BinaryIO], None]) -> None:
    with os.fdopen(descriptor, "rb") as pipe:
        read(pipe)


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
