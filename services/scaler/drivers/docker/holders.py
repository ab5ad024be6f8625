"""Holders: a tiny container for each service on demand that owns its network, its address and its names, and always
runs. The service's own container runs in the holder's namespace, so that its start has no network to set up.

Owns these containers. Whoever calls a service's port there arrives at a gateway, by `rules`. One whose entry has
changed is made anew only while its service rests: a service that runs would lose its network. Each costs what the
engine needs for a container, some 13 MB.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog, Service
from services.compose.command import ComposeError
from services.layout import Layout
from services.scaler.drivers.base import DriverError
from services.scaler.drivers.docker.arrangement import Stacks
from services.scaler.drivers.docker.book import Book
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.holder_text import Holding, description, endpoints_config
from services.scaler.drivers.docker.inside import Inside
from services.scaler.drivers.docker.keeper import DATA, Keeper, mark
from services.scaler.drivers.docker.rules import Rules, doors, past

log = logging.getLogger(__name__)

HOLDER = "aihub.holder"
"""Label: whose it is, `PROJECT/SERVICE` in compose's names."""
_MADE_FROM = "aihub.made-from"
_TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Holder:
    """One that runs."""

    id: str
    whose: str
    digest: str
    namespace: str
    """The file that leads to its namespace, on the engine's machine; another one after each start."""
    inspected: Mapping[str, Any]


class Holders:
    def __init__(
        self, engine: Engine, keeper: Keeper, inside: Inside, stacks: Stacks, book: Book, layout: Layout, rules: Rules
    ) -> None:
        self._engine = engine
        self._keeper = keeper
        self._inside = inside
        self._stacks = stacks
        self._book = book
        self._mark = mark(layout)
        self._rules = rules
        self._turn = asyncio.Lock()
        self._known: dict[str, Holder] = {}
        self._laid: dict[str, tuple[int, ...]] = {}
        """Namespace → ports that are steered there."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._removed: set[str] = set()
        self._modes: dict[str, str] = {}
        """Container of a service → the network it was made for, as the engine says it; that is for good."""
        self._closed = False
        self.moved: list[Callable[[], None]] = []
        """Told when a namespace is gone, and the next `ensure` will give another."""
        self.folder = ""
        """The engine's, of all namespaces; known after `begin`."""

    # -- up and down ---------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Know those of an earlier life; where there are none, see whether this engine lets us have any. Raises
        DriverError where it does not."""
        try:
            for row in await self._present():
                if row["State"] == "running":
                    await self._learn(row["Id"])
            if self._known:
                self.folder = str(Path(next(iter(self._known.values())).namespace).parent)
            else:
                await self._try()
        except (EngineAway, EngineRefused, OSError) as error:
            await self._engine.close()
            raise DriverError(
                f"--names holder cannot be had here: {error}. It needs an engine on Linux that allows containers"
                " CAP_SYS_ADMIN and CAP_NET_ADMIN (neither rootless nor remapped), a hub that is root, and nft;"
                " without it: --names alias"
            ) from error

    async def _try(self) -> None:
        if self._engine.info.get("OSType") != "linux":
            raise OSError(f"the engine's containers are of {self._engine.info.get('OSType')}")
        if os.getuid() != 0:
            raise OSError("the hub does not run as root, but the gateway has to, and both share their sockets")
        for left in await self._present(_TRIAL):
            await self._remove(left["Id"])
        trial = Holding(_TRIAL, f"aihub-{self._mark}-holder-{_TRIAL}", {"none": ()}, {}, (80,))
        container = await self._create(trial)
        try:
            await self._engine.post(f"containers/{container}/start")
            inspected = await self._engine.get(f"containers/{container}/json")
            namespace = str(inspected["NetworkSettings"]["SandboxKey"])
            await self._rules.lay({namespace: trial.ports})
            self.folder = str(Path(namespace).parent)
        finally:
            await self._remove(container)

    async def close(self) -> None:
        """Remove them all: the hub ends in order. Raises EngineAway, EngineRefused."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._turn:
            for row in await self._present():
                await self._remove(row["Id"])
            self._known.clear()

    def changed(self, event: Mapping[str, Any]) -> None:
        """One event of a container of the engine: what ran in the namespace of a holder that ends is cut off, so it
        ends too, and the next call for it starts both."""
        labels = event["Actor"].get("Attributes") or {}
        whose, container = labels.get(HOLDER), event["Actor"]["ID"]
        if whose in (None, _TRIAL) or labels.get(DATA) != self._mark or self._closed or event["Action"] != "die":
            return
        known = self._known.get(whose)
        if known is not None and known.id == container and container not in self._removed:
            log.warning("the container that holds the network of %s has ended; it is started again", whose)
            self._forget(whose)
            task = asyncio.get_running_loop().create_task(self._end_those_of(whose))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def look(self) -> None:
        """The engine was away: whatever ran may have another namespace now."""
        if not self._closed:
            for whose in tuple(self._known):
                self._forget(whose)
            self._tell()

    async def _end_those_of(self, whose: str) -> None:
        project, _, service = whose.partition("/")
        for one in self._book.of(project, service):
            if one.runs:
                try:
                    await self._engine.post(f"containers/{one.id}/kill")
                except (EngineRefused, EngineAway) as error:
                    log.warning("%s runs without a network: %s", one.name, error)
        self._tell()

    def _tell(self) -> None:
        for listener in self.moved:
            listener()

    # -- what is held --------------------------------------------------------------------------------------------------

    def of(self, service: Service) -> Holder | None:
        """Without asking: None where it has none, or none that runs."""
        own = service.containers
        return self._known.get(f"{own.stack}/{own.name}") if own else None

    async def inside(self, catalog: Catalog) -> list[InsideNetwork]:
        """Every holder that is wanted runs, no other is left; each as a network of its one service. Raises EngineAway,
        EngineRefused, OSError."""
        services = [one for one in catalog.services.values() if one.containers]
        wanted = [(service, found) for service in services if (found := await self._wanted(service))]
        async with self._turn:
            await self._remove_others({holding.whose for _, holding in wanted})
            await self._ensure([holding for _, holding in wanted])
        return [_as_network(service, holding, self._known[holding.whose]) for service, holding in wanted]

    async def ensure(self, service: Service) -> Holder | None:
        """Its holder, which runs; None where it has none. Asks nothing where nothing has changed. Raises EngineAway,
        EngineRefused, OSError."""
        holding = await self._wanted(service)
        if holding is None:
            return None
        known = self._known.get(holding.whose)
        if known is None or known.digest != self._digest(holding):
            assert service.containers is not None
            await self._inside.make_missing(await self._stacks.of(service.containers.stack), holding.networks)
            async with self._turn:
                await self._ensure([holding])
            self._tell()
        return self._known[holding.whose]

    async def fit(self, service: Service, containers: Sequence[str]) -> bool:
        """Have the service's holder run, and say whether these containers of it were made for that one; true where it
        has none. Raises EngineAway, EngineRefused, OSError."""
        holder = await self.ensure(service)
        return holder is None or all([await self._mode(one) == f"container:{holder.id}" for one in containers])

    async def _mode(self, container: str) -> str:
        if container not in self._modes:
            inspected = await self._engine.get(f"containers/{container}/json")
            self._modes[container] = str(inspected["HostConfig"]["NetworkMode"])
        return self._modes[container]

    def reached(
        self, service: Service, inspected: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[int, int]] | None:
        """Whose addresses lead to the container, and which of its ports by which number; None where it has addresses
        of its own."""
        holder = self.of(service)
        if holder is None or inspected["HostConfig"]["NetworkMode"] != f"container:{holder.id}":
            return None
        return holder.inspected, past([port.number for port in service.ports])

    async def _wanted(self, service: Service) -> Holding | None:
        own = service.containers
        if own is None:
            return None
        try:
            arranged = await self._stacks.of(own.stack)
        except (ComposeError, KeyError):
            return None  # Told where its container is asked for.
        return arranged.holdings.get(own.name)

    async def _ensure(self, wanted: Sequence[Holding]) -> None:
        rows = {row["Labels"][HOLDER]: row for row in await self._present()}
        fresh: dict[str, tuple[int, ...]] = {}
        for holding in wanted:
            holder = await self._have(holding, rows.get(holding.whose))
            if self._laid.get(holder.namespace) != holding.ports:
                fresh[holder.namespace] = holding.ports
        await self._rules.lay(fresh)
        self._laid |= fresh

    async def _have(self, holding: Holding, row: Mapping[str, Any] | None) -> Holder:
        if row is not None and row["Labels"].get(_MADE_FROM) != self._digest(holding):
            project, _, service = holding.whose.partition("/")
            if any(one.runs for one in self._book.of(project, service)) and row["State"] == "running":
                log.info("%s keeps its network as it was until it rests", service)
            else:
                await self._remove(row["Id"])
                row = None
        if row is None:
            container = await self._create(holding)
        else:
            container = row["Id"]
        known = self._known.get(holding.whose)
        if known is not None and known.id == container and row is not None and row["State"] == "running":
            return known
        await self._engine.post(f"containers/{container}/start")
        return await self._learn(container)

    async def _create(self, holding: Holding) -> str:
        labels = {DATA: self._mark, HOLDER: holding.whose, _MADE_FROM: self._digest(holding)}
        told = description(holding, await self._keeper.image(), labels)
        container = str((await self._engine.post("containers/create", told, name=holding.name))["Id"])
        for network, endpoint in endpoints_config(holding)[1:]:
            await self._engine.post(f"networks/{network}/connect", {"Container": container, "EndpointConfig": endpoint})
        return container

    async def _learn(self, container: str) -> Holder:
        inspected = await self._engine.get(f"containers/{container}/json")
        labels = inspected["Config"]["Labels"]
        holder = Holder(
            *(container, labels[HOLDER], labels[_MADE_FROM]),
            *(str(inspected["NetworkSettings"]["SandboxKey"]), inspected),
        )
        self._known[holder.whose] = holder
        return holder

    async def _remove_others(self, wanted: Iterable[str]) -> None:
        """Those of services that run wait until they rest."""
        for row in await self._present():
            whose = row["Labels"][HOLDER]
            project, _, service = whose.partition("/")
            if whose not in wanted and not any(one.runs for one in self._book.of(project, service)):
                await self._remove(row["Id"])
                self._forget(whose)

    async def _present(self, whose: str = "") -> list[Mapping[str, Any]]:
        label = [f"{DATA}={self._mark}", f"{HOLDER}={whose}" if whose else HOLDER]
        return list(await self._engine.get("containers/json", all=True, filters={"label": label}))

    async def _remove(self, container: str) -> None:
        self._removed.add(container)
        try:
            await self._engine.delete(f"containers/{container}", force=True)
        except EngineRefused as error:
            if error.status not in (404, 409):
                raise

    def _forget(self, whose: str) -> None:
        if (known := self._known.pop(whose, None)) is not None:
            self._laid.pop(known.namespace, None)

    def _digest(self, holding: Holding) -> str:
        said = [holding.name, {name: list(names) for name, names in holding.networks.items()}, dict(holding.settings)]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _as_network(service: Service, holding: Holding, holder: Holder) -> InsideNetwork:
    names = {name: service.name for aliases in holding.networks.values() for name in aliases}
    return InsideNetwork(f"holder:{service.name}", (), names, holder.namespace, doors(holding.ports))
