"""The networks that services on demand are on, and the names there that belong to the gateway.

Owns that these networks exist: a network that is missing is made by compose itself, with a container of one of our own
images for a moment, so that compose knows it for its own later. Nothing is pulled and no service is touched.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog, Stack
from services.compose.command import ComposeCli, ComposeError
from services.layout import Layout
from services.scaler.drivers.docker import networks
from services.scaler.drivers.docker.arrangement import Arranged, Stacks
from services.scaler.drivers.docker.engine import Engine, EngineRefused
from services.scaler.drivers.docker.keeper import Keeper
from services.scaler.drivers.docker.naming import belongs_to_gateway

log = logging.getLogger(__name__)

_MAKER = "aihub-networks"

Names = dict[str, dict[str, str]]


class Inside:
    def __init__(self, engine: Engine, keeper: Keeper, stacks: Stacks, layout: Layout) -> None:
        self._engine = engine
        self._keeper = keeper
        self._stacks = stacks
        self._layout = layout

    async def networks(self, catalog: Catalog) -> Sequence[InsideNetwork]:
        """By name. Raises EngineAway, EngineRefused."""
        projects = await self._stacks.all()
        names: Names = {}
        for arranged in projects:
            mine = names_in(arranged, catalog)
            await self.make_missing(arranged, mine)
            for network, said in mine.items():
                names.setdefault(network, {}).update(said)
        found = [await self._network(name, said) for name, said in sorted(names.items())]
        return [network for network in found if network is not None]

    async def _network(self, name: str, names: Mapping[str, str]) -> InsideNetwork | None:
        try:
            inspected = await self._engine.get(f"networks/{name}")
        except EngineRefused as error:
            log.warning("names on network %s stay with their containers: %s", name, error)
            return None
        subnets = tuple(one["Subnet"] for one in inspected["IPAM"].get("Config") or () if one.get("Subnet"))
        return InsideNetwork(inspected["Name"], subnets, dict(names))

    async def make_missing(self, arranged: Arranged, wanted: Collection[str]) -> None:
        """Of the project's networks those `wanted`, by the engine's names. Raises EngineAway, EngineRefused."""
        async with networks.turn(self._engine, self._stacks, arranged):
            there_not = await networks.missing(self._engine, arranged)
            missing = {key: dict(said) for key, said in there_not.items() if said.get("name", key) in wanted}
            if missing:
                await self._make(arranged, missing)

    async def _make(self, arranged: Arranged, missing: Mapping[str, Any]) -> None:
        stack = arranged.stack
        file = self._layout.compose / f"{stack.project}.networks.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(networks_only(await self._keeper.image(), missing), indent=1))
        try:
            await ComposeCli(Stack(stack.project, (str(file),), stack.directory), None).create(_MAKER)
        except ComposeError as error:
            log.warning("networks %s of project %s cannot be made: %s", ", ".join(missing), stack.project, error)
        finally:
            await self._remove_maker(stack.project)

    async def _remove_maker(self, project: str) -> None:
        label = [f"com.docker.compose.project={project}", f"com.docker.compose.service={_MAKER}"]
        for row in await self._engine.get("containers/json", all=True, filters={"label": label}):
            await self._engine.delete(f"containers/{row['Id']}", force=True)


def networks_only(image: str, networks: Mapping[str, Any]) -> dict[str, Any]:
    """A compose file that makes these networks and nothing else that stays."""
    maker = {"image": image, "pull_policy": "never", "networks": sorted(networks)}
    return {"services": {_MAKER: maker}, "networks": dict(networks)}


def names_in(arranged: Arranged, catalog: Catalog) -> Names:
    """Engine's name of each network → what a neighbour calls a service there → the hub's name of it. What has a holder
    has its names there, and none here."""
    found: Names = {}
    for service in catalog.services.values():
        own = service.containers
        if own is None or own.stack != arranged.stack.project or not belongs_to_gateway(service):
            continue
        for key, aliases in (own.networks or {"default": ()}).items():
            network = str((arranged.networks.get(key) or {}).get("name", key))
            said = found.setdefault(network, {})
            if own.name in arranged.holdings:
                continue
            for name in (own.name, *([own.container_name] if own.container_name else []), *aliases):
                said.setdefault(name, service.name)
    return found
