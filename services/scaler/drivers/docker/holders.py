"""Holders: a tiny container for each service on demand that owns its network, its address and its names, and always
runs. The service's own container runs in the holder's namespace, so that its start has no network to set up.

Owns these containers. Whoever calls a service's port there arrives at a gateway, by `rules`. One whose entry has
changed is made anew only while its service rests: a service that runs would lose its network. Each costs what the
engine needs for a container, some 13 MB.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from services.scaler.drivers.docker.holder_containers import HOLDER, Holder, HolderContainers, Seen, digest
from services.scaler.drivers.docker.holder_text import Holding
from services.scaler.drivers.docker.inside import Inside
from services.scaler.drivers.docker.intents import is_leaving, is_stuck, until_removed
from services.scaler.drivers.docker.keeper import DATA, Keeper, mark
from services.scaler.drivers.docker.rules import Rules, doors, past

log = logging.getLogger(__name__)

_TRIAL = "trial"


class Holders:
    def __init__(
        self, engine: Engine, keeper: Keeper, inside: Inside, stacks: Stacks, book: Book, layout: Layout, rules: Rules
    ) -> None:
        self._engine = engine
        self._inside = inside
        self._stacks = stacks
        self._book = book
        self._mark = mark(layout)
        self._containers = HolderContainers(engine, keeper, self._mark)
        self._rules = rules
        self._turn = asyncio.Lock()
        self._known: dict[str, Holder] = {}
        self._laid: dict[str, tuple[int, ...]] = {}
        """Namespace → ports that are steered there."""
        self._tasks: set[asyncio.Task[None]] = set()
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
            for one in await self._containers.present():
                if one.running and one.whose != _TRIAL:
                    self._known[one.whose] = await self._containers.look(one.id)
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
        for left in await self._containers.present():
            if left.whose == _TRIAL:
                await self._containers.remove(left.id)
        trial = Holding(_TRIAL, f"aihub-{self._mark}-holder-{_TRIAL}", {"none": ()}, {}, (80,))
        container = await self._containers.make(trial)
        try:
            namespace = (await self._containers.start(container)).namespace
            await self._rules.lay({namespace: trial.ports})
            self.folder = str(Path(namespace).parent)
        finally:
            await self._containers.remove(container)

    async def close(self) -> None:
        """Remove them all: the hub ends in order. Raises EngineAway, EngineRefused."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._turn:
            for one in await self._containers.present():
                await self._containers.remove(one.id)
            self._known.clear()

    def changed(self, event: Mapping[str, Any]) -> None:
        """One event of a container of the engine: what ran in the namespace of a holder that ends is cut off, so it
        ends too, and the next call for it starts both."""
        labels = event["Actor"].get("Attributes") or {}
        whose, container = labels.get(HOLDER), event["Actor"]["ID"]
        if whose in (None, _TRIAL) or labels.get(DATA) != self._mark or self._closed or event["Action"] != "die":
            return
        known = self._known.get(whose)
        if known is not None and known.id == container and not self._containers.is_ours(container):
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
            await self._ensure([holding for _, holding in wanted], patient=True)
        there = [(service, holding, self._known.get(holding.whose)) for service, holding in wanted]
        return [_as_network(service, holding, holder) for service, holding, holder in there if holder]

    async def ensure(self, service: Service) -> Holder | None:
        """Its holder, which runs; None where it has none. Asks nothing where nothing has changed. Raises EngineAway,
        EngineRefused, OSError."""
        holding = await self._wanted(service)
        if holding is None:
            return None
        known = self._known.get(holding.whose)
        if known is None or known.digest != digest(holding):
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

    async def _ensure(self, wanted: Sequence[Holding], *, patient: bool = False) -> None:
        """`patient`: what hinders one is logged, and the others go on."""
        seen = {one.whose: one for one in await self._containers.present()}
        fresh: dict[str, tuple[int, ...]] = {}
        for holding in wanted:
            try:
                holder = self._known[holding.whose] = await self._have(holding, seen.get(holding.whose))
            except EngineRefused as error:
                if not patient:
                    raise
                log.warning("%s has no network: %s", holding.whose, error)
                continue
            if self._laid.get(holder.namespace) != holding.ports:
                fresh[holder.namespace] = holding.ports
        await self._rules.lay(fresh)
        self._laid |= fresh

    async def _have(self, holding: Holding, seen: Seen | None) -> Holder:
        if seen is not None and seen.digest != digest(holding):
            if seen.running and self._is_awake(seen.whose):
                log.info("%s keeps its network as it was until it rests", seen.whose)
            else:
                await self._containers.remove(seen.id)
                seen = None
        known = self._known.get(holding.whose)
        if seen is not None and seen.running and known is not None and known.id == seen.id:
            return known
        if seen is not None:
            try:
                return await self._containers.start(seen.id)
            except EngineRefused as error:
                if is_stuck(error):
                    await self._containers.remove(seen.id)
                elif error.status != 404 and not is_leaving(error):
                    raise
                # Somebody removes it: that its program has ended is told first.
                await until_removed(self._engine, seen.id)
        return await self._containers.start(await self._containers.make(holding))

    async def _remove_others(self, wanted: Iterable[str]) -> None:
        """Those of services that run wait until they rest."""
        for one in await self._containers.present():
            if one.whose not in wanted and not self._is_awake(one.whose):
                await self._containers.remove(one.id)
                self._forget(one.whose)

    def _is_awake(self, whose: str) -> bool:
        project, _, service = whose.partition("/")
        return any(one.runs for one in self._book.of(project, service))

    def _forget(self, whose: str) -> None:
        if (known := self._known.pop(whose, None)) is not None:
            self._laid.pop(known.namespace, None)


def _as_network(service: Service, holding: Holding, holder: Holder) -> InsideNetwork:
    names = {name: service.name for aliases in holding.networks.values() for name in aliases}
    return InsideNetwork(f"holder:{service.name}", (), names, holder.namespace, doors(holding.ports))
