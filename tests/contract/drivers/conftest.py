"""The drivers that the contract suite runs, and the services it runs on them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from services.catalog.addresses import Edge, all_addresses
from services.catalog.model import Catalog, Local, Port, Service, Wake
from services.layout import Layout
from services.scaler.core.events import Event
from services.scaler.drivers.process import ProcessDriver
from services.scaler.drivers.process.driver import owner
from services.scaler.drivers.process.platform import NoCgroup, Wish, detect
from tests.support.process_tree import mentioning

PROGRAM = Path(__file__).parents[2] / "support" / "programs" / "fault_server.py"


def containments() -> list[Wish]:
    try:
        detect("collect", Wish.CGROUP).leave()
    except NoCgroup as error:
        print(f"control groups cannot be had here, the suite runs by walking alone: {error}", file=sys.stderr)
        return [Wish.WALK]
    return [Wish.CGROUP, Wish.WALK]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "containment" in metafunc.fixturenames:
        chosen = getattr(metafunc.module, "CONTAINMENTS", None) or containments()
        metafunc.parametrize("containment", chosen, ids=str)


def command(mode: str, *more: str) -> Local:
    # -S -E -I: the double starts fast, and nothing of the test's own environment reaches it.
    return Local((sys.executable, "-ISE", str(PROGRAM), mode, "{port}", *more))


@dataclass
class Bench:
    """One driver after the other on one data folder, and what they posted."""

    layout: Layout
    containment: Wish
    events: list[Event] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    drivers: list[ProcessDriver] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)

    def post(self, event: Event) -> None:
        self.events.append(event)
        self.told.set()

    async def driver(self) -> ProcessDriver:
        """A driver as a scaler makes it, catalogue and adoption included."""
        made = ProcessDriver(self.layout, self.post, containment=self.containment)
        self.drivers.append(made)
        self.configure(made)
        await made.adopt()
        return made

    def configure(self, driver: ProcessDriver) -> None:
        catalog = Catalog(services=self.services)
        driver.configure(catalog, all_addresses(catalog, Edge()))

    def service(self, mode: str = "good", *more: str, name: str = "svc", **fields: object) -> Service:
        made = Service(
            name=name,
            ports=(Port("main", 80),),
            health="/health",
            path=f"/api/{name}",
            local=command(mode, *more),
            wake=Wake(start_timeout=10.0),
            stop_grace=3.0,
            digest="one",
        )
        self.services[name] = replace(made, **fields)  # type: ignore[arg-type]
        return self.services[name]

    async def event(self, kind: type, within: float = 5.0) -> Event:
        async with asyncio.timeout(within):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self.told.clear()
                await self.told.wait()

    def processes(self) -> set[int]:
        """Living processes that carry this data folder's mark."""
        return mentioning(f"AIHUB_REPLICA={owner(self.layout.data)}/")

    def records(self) -> list[str]:
        return sorted(path.name for path in self.layout.replicas.iterdir())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path / "data")
    made.make()
    return made


@pytest.fixture
async def bench(layout: Layout, containment: Wish) -> AsyncIterator[Bench]:
    made = Bench(layout, containment)
    yield made
    # A last driver ends whatever a failed test has left, as a next start of the hub would.
    for driver in made.drivers:
        await driver.close()
    last = ProcessDriver(layout, made.post, containment=containment)
    for adopted in await last.adopt():
        await last.stop(replace(made.service(name=adopted.service), stop_grace=0.1), adopted.replica)
    await last.close()
    assert made.processes() == set()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/aihub-{owner(layout.data)}"))


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    # The loop of the test itself may still hold its three.
    assert len(os.listdir("/proc/self/fd")) <= before + 4


Until = Callable[[Callable[[], bool]], Awaitable[None]]


async def until(true: Callable[[], bool], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110 — what is waited for happens in other processes
            await asyncio.sleep(0.01)
