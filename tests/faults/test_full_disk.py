"""Parts that die while the disk takes nothing more: they come back, what is awake serves, the rest is told why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from services.layout import Layout
from tests.support.catalogue import Workshop
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub
from tests.support.small_disk import fill, may_mount, small_disk

pytestmark = [pytest.mark.envoy, pytest.mark.process]

WAYS = ["nothing can be made beside the record", *(["a full disk"] if may_mount() else [])]
RECOVERED_WITHIN = 2.0
NoRoom = Callable[[Layout], AbstractContextManager[None]]


@pytest.fixture(params=WAYS)
def no_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NoRoom]:
    full = request.param == "a full disk"
    with small_disk(tmp_path / "data", 48) if full else nullcontext():
        yield _full if full else _in_the_way


@contextmanager
def _full(layout: Layout) -> Iterator[None]:
    assert layout.processes.resolve().is_relative_to(layout.data)
    filler = fill(layout.data)
    yield
    filler.unlink()


@contextmanager
def _in_the_way(layout: Layout) -> Iterator[None]:
    in_the_way = layout.processes.with_suffix(".new")
    in_the_way.mkdir()
    yield
    in_the_way.rmdir()


@pytest.mark.parametrize("part", ["scaler", "envoy"])
def test_a_part_that_is_killed_while_the_disk_is_full_comes_back_at_once(
    no_room: NoRoom, workshop: Workshop, start_hub: StartHub, part: str
) -> None:
    hub = start_hub({"warm": workshop.upstream("warm"), "cold": workshop.upstream("cold")})
    assert hub.ask("/api/warm/")[0] == 200
    with no_room(hub.layout):
        before = hub.kill(part)
        killed = time.monotonic()
        _back(hub, part, before)
        assert time.monotonic() - killed < RECOVERED_WITHIN, hub.said()
        assert hub.ask("/api/warm/")[2] == b"hello from asyncio\n", hub.said()
        status, _, body = hub.ask("/api/cold/", limit=20)
        assert status in (200, 502, 503), body
    end = time.monotonic() + 20
    while (answer := hub.ask("/api/cold/", limit=20))[0] != 200:
        assert time.monotonic() < end, (answer, hub.said())
        time.sleep(0.2)
    assert (workshop.starts("warm"), workshop.starts("cold")) == (1, 1)


def _back(hub: Hub, part: str, before: int) -> None:
    end = time.monotonic() + 20
    while hub.pids().get(part) in (None, before) or not hub.reachable():
        assert time.monotonic() < end, hub.said()
        time.sleep(0.01)
