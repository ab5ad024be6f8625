"""What the contract suite works at: one driver after the other on one data folder, and what they posted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from services.catalog.addresses import Edge, all_addresses
from services.catalog.model import Catalog, Local, Port, Service, Stack, Wake
from services.layout import Layout
from services.scaler.core.events import Event
from services.scaler.drivers.base import Driver, Running
from services.scaler.drivers.process import ProcessDriver
from services.scaler.drivers.process.driver import owner
from services.scaler.drivers.process.platform import Wish
from tests.support.process_tree import mentioning, process

PROGRAM = Path(__file__).parents[2] / "support" / "programs" / "fault_server.py"


def command(mode: str, *more: str) -> Local:
    # -S -E -I: the double starts fast, and nothing of the test's own environment reaches it.
    return Local((sys.executable, "-ISE", str(PROGRAM), mode, "{port}", *more))


async def text(endpoint: str, path: str = "/") -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{endpoint}{path}") as answer:
        return await answer.text()


async def until(true: Callable[[], bool], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110 — what is waited for happens in other processes
            await asyncio.sleep(0.01)


class Bench(ABC):
    """`service` puts a service that runs the fault server into the catalogue."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.events: list[Event] = []
        self.told = asyncio.Event()
        self.drivers: list[Any] = []
        self.services: dict[str, Service] = {}

    def post(self, event: Event) -> None:
        self.events.append(event)
        self.told.set()

    @abstractmethod
    def make(self, **options: Any) -> Any:
        """A driver that has seen nothing yet."""

    async def driver(self) -> Any:
        """A driver as a scaler makes it, catalogue and adoption included."""
        made = self.make()
        self.drivers.append(made)
        self.configure(made)
        await made.adopt()
        return made

    def configure(self, driver: Driver) -> None:
        catalog = Catalog(services=self.services, stacks=self.stacks())
        driver.configure(catalog, all_addresses(catalog, Edge()))

    def stacks(self) -> Mapping[str, Stack]:
        return {}

    def service(self, mode: str = "good", *more: str, name: str = "svc", **fields: Any) -> Service:
        made = Service(
            name=name,
            ports=(Port("main", 80),),
            health="/health",
            path=f"/api/{name}",
            wake=Wake(start_timeout=10.0),
            stop_grace=3.0,
            digest="one",
        )
        made = self.running(replace(made, **fields), mode, *more)
        self.services[name] = replace(made, local=fields["local"]) if "local" in fields else made
        return self.services[name]

    @abstractmethod
    def running(self, service: Service, mode: str, *more: str) -> Service:
        """With what makes this platform run the fault server for it."""

    async def event(self, kind: type, within: float = 5.0) -> Any:
        async with asyncio.timeout(within):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self.told.clear()
                await self.told.wait()

    @abstractmethod
    def processes(self) -> set[Any]:
        """What runs of this data folder: processes, or containers."""

    @abstractmethod
    async def who(self, endpoint: str) -> str:
        """Which replica answers there, by its own word."""

    @abstractmethod
    def is_from(self, running: Running, replica: str, word: str) -> bool:
        """Whether that word is this replica's."""

    @abstractmethod
    async def kill(self, running: Running) -> None:
        """Somebody else ends it with SIGKILL."""

    @abstractmethod
    async def freeze(self, running: Running) -> None:
        """Somebody else freezes it."""

    def records(self) -> list[str]:
        return sorted(path.name for path in self.layout.replicas.iterdir())

    async def leave(self) -> None:
        """End what a failed test has left, and see that nothing is."""
        while self.drivers:
            await self.drivers.pop().close()
        last = self.make()
        self.configure(last)
        for adopted in await last.adopt():
            await last.stop(replace(self.service(name=adopted.service), stop_grace=0.1), adopted.replica)
        await last.close()
        assert self.processes() == set()

    def remove(self) -> None:  # noqa: B027 — most benches leave nothing
        """Remove what the bench itself has made."""


class ProcessBench(Bench):
    def __init__(self, layout: Layout, containment: Wish) -> None:
        super().__init__(layout)
        self.containment = containment

    def make(self, **options: Any) -> ProcessDriver:
        return ProcessDriver(self.layout, self.post, containment=self.containment, **options)

    def running(self, service: Service, mode: str, *more: str) -> Service:
        local = command(mode, *more)
        if not service.ports:
            local = Local(tuple(word.replace("{port}", "0") for word in local.command))
        return replace(service, local=local)

    def processes(self) -> set[int]:
        """Living processes that carry this data folder's mark."""
        return mentioning(f"AIHUB_REPLICA={owner(self.layout.data)}/")

    async def who(self, endpoint: str) -> str:
        return await text(endpoint)

    def is_from(self, running: Running, replica: str, word: str) -> bool:
        return word == str(running.pid)

    async def kill(self, running: Running) -> None:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)

    async def freeze(self, running: Running) -> None:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGSTOP)
        await until(lambda: getattr(process(running.pid or 0), "state", "") == "T")

    async def leave(self) -> None:
        await super().leave()
        assert not list(Path("/sys/fs/cgroup").glob(f"**/aihub-{owner(self.layout.data)}"))
