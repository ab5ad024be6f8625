"""The drivers that the contract suite runs. A module that says `EVERY_DRIVER = True` runs on each of them, others on
processes alone."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from services.layout import Layout
from services.scaler.drivers.process.platform import NoCgroup, Wish, detect
from tests.contract.drivers.bench import Bench, ProcessBench, command, until
from tests.contract.drivers.docker_bench import DockerBench
from tests.support.engine.presence import engine_is_there

__all__ = ["Bench", "DockerBench", "ProcessBench", "Until", "command", "until"]

Until = Callable[[Callable[[], bool]], Awaitable[None]]
DOCKER = "docker"


def containments() -> list[Wish]:
    try:
        detect("collect", Wish.CGROUP).leave()
    except NoCgroup as error:
        print(f"control groups cannot be had here, the suite runs by walking alone: {error}", file=sys.stderr)
        return [Wish.WALK]
    return [Wish.CGROUP, Wish.WALK]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "containment" not in metafunc.fixturenames:
        return
    chosen = list(getattr(metafunc.module, "CONTAINMENTS", None) or containments())
    if getattr(metafunc.module, "EVERY_DRIVER", False) and engine_is_there():
        chosen.append(DOCKER)
    marks = {DOCKER: pytest.mark.docker}
    metafunc.parametrize(
        "containment", [pytest.param(one, marks=marks.get(one, pytest.mark.process)) for one in chosen], ids=str
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of containers alone are left out where there is no engine."""
    ours = Path(__file__).parent
    alone = [item for item in items if ours in item.path.parents and getattr(item.module, "CONTAINERS", False)]  # type: ignore[attr-defined]
    if alone and not engine_is_there():
        items[:] = [item for item in items if item not in alone]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path / "data")
    made.make()
    return made


@pytest.fixture
async def bench(layout: Layout, containment: Wish | str) -> AsyncIterator[Bench]:
    made = DockerBench(layout) if containment == DOCKER else ProcessBench(layout, Wish(containment))
    yield made
    await made.leave()
    made.remove()


@pytest.fixture
async def yard(layout: Layout) -> AsyncIterator[DockerBench]:
    """A bench of containers, for tests that are about containers alone."""
    made = DockerBench(layout)
    yield made
    await made.leave()
    made.remove()


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    # The loop of the test itself may still hold its three.
    assert len(os.listdir("/proc/self/fd")) <= before + 4
