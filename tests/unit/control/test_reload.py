"""The watch over the catalogue's files: what a change, a fault and a full disk come to."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.catalog.load import CatalogReader
from services.catalog.model import Catalog
from services.scaler.control import reload
from services.scaler.control.reload import Reloader

GOOD = "services: {%s: {image: 'example/x:1', expose: ['80'], profiles: [on-demand]}}"


class Taker:
    """Takes catalogues in, while the disk has room."""

    def __init__(self) -> None:
        self.room = True
        self.refused = asyncio.Event()
        self.taken: asyncio.Queue[set[str]] = asyncio.Queue()

    def take(self, catalog: Catalog) -> None:
        if not self.room:
            self.refused.set()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "rds.pb")
        self.taken.put_nowait(set(catalog.services))


@asynccontextmanager
async def watched(file: Path, taker: Taker) -> AsyncIterator[Reloader]:
    put(file, GOOD % "old")
    reloader = Reloader([file], CatalogReader(environ={}), taker.take)
    reloader.first()
    watch = asyncio.create_task(reloader.watch())
    async with asyncio.timeout(20):
        yield reloader
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch


def put(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


async def test_a_changed_file_is_taken_in(tmp_path: Path) -> None:
    taker = Taker()
    async with watched(tmp_path / "a.yml", taker) as reloader:
        put(tmp_path / "a.yml", GOOD % "renamed")
        assert await taker.taken.get() == {"renamed"}
        assert reloader.fault == ""


async def test_what_no_disk_had_room_for_is_taken_in_when_one_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "_AGAIN", 0.01)
    taker = Taker()
    async with watched(tmp_path / "a.yml", taker) as reloader:
        taker.room = False
        put(tmp_path / "a.yml", GOOD % "renamed")
        await taker.refused.wait()
        assert "rds.pb" in reloader.fault
        taker.room = True
        assert await taker.taken.get() == {"renamed"}
        assert reloader.fault == ""


async def test_who_cannot_wait_for_the_next_look_has_the_files_read_at_once(tmp_path: Path) -> None:
    taker, file = Taker(), tmp_path / "a.yml"
    put(file, GOOD % "old")
    reloader = Reloader([file], CatalogReader(environ={}), taker.take)
    reloader.first()
    await reloader.catch_up()
    assert taker.taken.empty(), "nothing has changed"
    put(file, GOOD % "renamed")
    await asyncio.gather(*(reloader.catch_up() for _ in range(3)))
    assert taker.taken.get_nowait() == {"renamed"}
    assert taker.taken.empty(), "what several wait for is read once"
    put(file, "services: [")
    await reloader.catch_up()
    assert "a.yml" in reloader.fault
    put(file, GOOD % "mended")
    await reloader.catch_up()
    assert (taker.taken.get_nowait(), reloader.fault) == ({"mended"}, "")
