"""A loop with a driver and a mesh in memory, and one service, `web`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.catalog.model import Catalog, Port, Scaling, Service
from services.scaler.control.clock import Clock
from services.scaler.control.journal import Journal
from services.scaler.control.loop import Control
from services.scaler.core.events import DemandKind, Restarted
from services.scaler.core.fleet import Fleet
from services.scaler.core.state import ServiceState
from services.scaler.mesh.base import HeldRequest
from tests.unit.control.hands import MemoryDriver, MemoryMesh

WEB = Service("web", ports=(Port("main", 80),), scaling=Scaling(idle_timeout=60))


class Rig:
    def __init__(self, folder: Path) -> None:
        self.driver, self.mesh = MemoryDriver(), MemoryMesh()
        self.control = Control(Fleet(), Clock(), Journal(folder))
        self.control.connect(self.driver, self.mesh)
        self.control.post(Restarted(Catalog({"web": WEB}), {}, {"memory": 4 << 30}))

    @property
    def web(self) -> ServiceState:
        return self.control.fleet.world.services["web"]

    def ask(self, number: int) -> None:
        self.control.demand(HeldRequest(number, "web", "main", DemandKind.REQUEST, 60.0))

    async def until(self, text: str) -> None:
        def lives() -> str:
            return ",".join(sorted(replica.life.value for replica in self.web.replicas.values()))

        async with asyncio.timeout(5):
            await self.control.settled(lambda: lives() == text)

    async def awake(self) -> None:
        self.ask(1)
        await self.until("ready")
