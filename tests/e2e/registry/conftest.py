"""A Consul, hubs that tell it how they stand, and what they learn from it. The hubs' fleets are written by the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.catalog.addresses import Edge
from services.catalog.model import Port, Publish, Service, Tier
from services.scaler.registry.consul_registry import ConsulRegistry
from services.scaler.registry.desired import ConsulAt, Here
from services.scaler.registry.foreign import ForeignServices
from services.scaler.registry.standing import Standing
from tests.support import consul
from tests.support.consul import Agent

EDGE = Edge("127.0.0.1", 8000)
CHROMA = Service("chroma", ports=(Port("main", 8000),), path="/api/chroma")
TABBY = Service(
    "tabby",
    tier=Tier.PERSISTENT,
    ports=(Port("main", 8080),),
    publishes=(Publish("main", "127.0.0.1", 8081),),
    path="/api/tabby",
)


class Hub:
    """What the registry sees of a hub."""

    def __init__(self, agent: Agent, name: str = "box", *, token: str = "", ttl: float = 30.0) -> None:
        self.name = name
        self.learnt: list[ForeignServices] = []
        self.on_news: Callable[[ForeignServices], None] = lambda _: None
        self.broken = False
        """Nothing can be read of it."""
        self._standings: dict[str, Standing] = {}
        at = ConsulAt(agent.url, token or agent.management)
        self.registry = ConsulRegistry(at, Here(name, EDGE), self._read, self._learn, ttl=ttl)
        self._task: asyncio.Task[None] | None = None

    @property
    def foreign(self) -> dict[str, tuple[str, ...]]:
        return dict(self.learnt[-1].endpoints) if self.learnt else {}

    def awake(self, service: Service, *replicas: str) -> None:
        self._set(Standing(service, "ready", "somebody asked for it", replicas or (f"{service.name}-1",)))

    def asleep(self, service: Service, state: str = "paused", reason: str = "idle for 300 s") -> None:
        self._set(Standing(service, state, reason))

    def unable(self, service: Service) -> None:
        self._set(Standing(service, "unavailable", "has no form without containers", able=False))

    def forget(self, service: Service) -> None:
        del self._standings[service.name]
        self.registry.changed()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.registry.run())

    @property
    def runs(self) -> bool:
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _learn(self, foreign: ForeignServices) -> None:
        self.learnt.append(foreign)
        self.on_news(foreign)

    def _set(self, standing: Standing) -> None:
        self._standings[standing.service.name] = standing
        self.registry.changed()

    def _read(self) -> tuple[Standing, ...]:
        if self.broken:
            raise RuntimeError("the fleet does not settle")
        return tuple(self._standings.values())


MakeHub = Callable[..., Hub]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with consul.agent(tmp_path) as made:
        yield made


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Agent]:
    """One that denies whatever no token allows."""
    async with consul.agent(tmp_path, access_control=True) as made:
        yield made


@pytest.fixture
async def hubs() -> AsyncIterator[MakeHub]:
    """Makes hubs that end with the test."""
    made: list[Hub] = []

    def make(agent: Agent, name: str = "box", **options: Any) -> Hub:
        made.append(Hub(agent, name, **options))
        return made[-1]

    yield make
    for hub in made:
        await hub.stop()


async def within(seconds: float, holds: Callable[[], Awaitable[object]]) -> None:
    """Nobody announces what Consul has taken in: ask until it holds."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def ids(agent: Agent, service: str) -> list[str]:
    return sorted(entry["ID"] for entry in await agent.instances(service))


def renamed(service: Service, name: str) -> Service:
    return replace(service, name=name, path=f"/api/{name}", publishes=())
