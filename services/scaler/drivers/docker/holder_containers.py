"""The engine's verbs on holders' containers: listing, making, knowing, removing. Which are wanted is for `holders`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.scaler.drivers.docker import intents
from services.scaler.drivers.docker.engine import Engine, EngineRefused
from services.scaler.drivers.docker.holder_text import Holding, description, endpoints_config
from services.scaler.drivers.docker.keeper import DATA, Keeper

HOLDER = "aihub.holder"
"""Label: whose it is, `PROJECT/SERVICE` in compose's names."""
_MADE_FROM = "aihub.made-from"
_GRACE = 5
"""Seconds for what is ended with its network."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One that runs."""

    id: str
    whose: str
    digest: str
    namespace: str
    """The file that leads to its namespace, on the engine's machine; another one after each start."""
    inspected: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """One that is there, running or not."""

    id: str
    whose: str
    digest: str
    running: bool


class HolderContainers:
    def __init__(self, engine: Engine, keeper: Keeper, mark: str) -> None:
        """`mark`: of the hub's data folder. Every verb raises EngineAway, EngineRefused."""
        self._engine = engine
        self._keeper = keeper
        self._mark = mark
        self._removed: set[str] = set()

    async def present(self) -> list[Seen]:
        label = [f"{DATA}={self._mark}", HOLDER]
        rows = await self._engine.get("containers/json", all=True, filters={"label": label})
        return [
            Seen(row["Id"], row["Labels"][HOLDER], row["Labels"].get(_MADE_FROM, ""), row["State"] == "running")
            for row in rows
        ]

    async def make(self, holding: Holding) -> str:
        """Its id; not started yet."""
        labels = {DATA: self._mark, HOLDER: holding.whose, _MADE_FROM: digest(holding)}
        told = description(holding, await self._keeper.image(), labels)
        container = await intents.create(self._engine, told, holding.name)
        try:
            for network, endpoint in endpoints_config(holding)[1:]:
                await intents.connect(self._engine, container, network, endpoint)
        except BaseException:
            await self.remove(container)
            raise
        return container

    async def start(self, container: str) -> Holder:
        """One that runs already stays as it is."""
        await self._engine.post(f"containers/{container}/start")
        return await self.look(container)

    async def look(self, container: str) -> Holder:
        inspected = await self._engine.get(f"containers/{container}/json")
        labels, namespace = inspected["Config"]["Labels"], str(inspected["NetworkSettings"]["SandboxKey"])
        return Holder(container, labels[HOLDER], labels.get(_MADE_FROM, ""), namespace, inspected)

    async def remove(self, container: str) -> None:
        self._removed.add(container)
        try:
            await self._engine.delete(f"containers/{container}", force=True)
        except EngineRefused as error:
            if error.status != 409:
                raise

    def is_ours(self, container: str) -> bool:
        """Whether it is removed by ourselves."""
        return container in self._removed

    async def clear(self) -> bool:
        """Remove what an earlier life has left, and end what runs in its namespaces; whether there was any."""
        left = await self.present()
        modes = {f"container:{one.id}" for one in left}
        for row in await self._engine.get("containers/json") if left else ():
            if (row.get("HostConfig") or {}).get("NetworkMode") in modes:
                await self._end(row["Id"])
        for one in left:
            await self.remove(one.id)
        return bool(left)

    async def _end(self, container: str) -> None:
        try:
            await self._engine.post(f"containers/{container}/stop", t=_GRACE)
        except EngineRefused as error:
            if error.status != 404:
                raise


def digest(holding: Holding) -> str:
    """Another one where the container has to be."""
    said = [holding.name, {name: list(names) for name, names in holding.networks.items()}, dict(holding.settings)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
