"""Learns what others have registered: one query that waits for news of all names, one more for each name of concern."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from services.scaler.registry.client import WAIT, Client, asked, understood
from services.scaler.registry.desired import HUB
from services.scaler.registry.foreign import Instance, from_health, worth_watching

log = logging.getLogger(__name__)

_PACE = 0.1
"""Seconds between two queries of one kind, however fast the news comes."""

Instances = Mapping[str, tuple[Instance, ...]]


class Watcher:
    """`tell` gets all instances of others, with every answer about names and whenever instances have changed. While
    Consul is away the last ones hold."""

    def __init__(self, client: Client, hub: str, tell: Callable[[Instances], None]) -> None:
        self._client = client
        self._hub = hub
        self._tell = tell
        self._names: frozenset[str] = frozenset()
        self._services: Mapping[str, Iterable[str]] = {}
        self._instances: dict[str, tuple[Instance, ...]] = {}
        self._nameless: frozenset[str] = frozenset()
        self._group: asyncio.TaskGroup | None = None
        self._all: asyncio.Task[None] | None = None
        self._watches: dict[str, asyncio.Task[None]] = {}

    def catalog(self, names: Iterable[str]) -> None:
        """The names that are of concern whether they are tagged or not."""
        known = frozenset(names)
        if known != self._names:
            self._names = known
            self._choose()

    async def run(self) -> None:
        """Watch for ever. Raises Away or Denied; may then be called again."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self._all = self._group.create_task(self._watch_all())
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        finally:
            self._group = None
            self._watches.clear()

    def anew(self) -> None:
        """Ask everything again: Consul has begun a new life, in which it would let a query wait for news of the old."""
        if self._group is not None and self._all is not None:
            for task in (self._all, *self._watches.values()):
                task.cancel()
            self._watches.clear()
            self._all = self._group.create_task(self._watch_all())

    async def _watch_all(self) -> None:
        # What this hub has registered itself would wake one query a name at each wake and rest.
        others = f'ServiceMeta["{HUB}"] != "{self._hub}"'
        index: str | None = None
        while True:
            call = self._client.catalog.services(index=index, wait=f"{WAIT}s", filter_expr=others)
            told, services = await asked(call)
            self._services = understood(partial(_tags, services))
            self._choose()
            self._tell(dict(self._instances))
            index = following(index, told)
            await asyncio.sleep(_PACE)

    def _choose(self) -> None:
        if self._group is None:
            return
        wanted = worth_watching(self._services, self._names)
        for name in self._watches.keys() - wanted:
            self._watches.pop(name).cancel()
        for name in wanted - self._watches.keys():
            self._watches[name] = self._group.create_task(self._watch(name))
        self._instances = {name: some for name, some in self._instances.items() if name in wanted}

    async def _watch(self, name: str) -> None:
        index: str | None = None
        while True:
            told, found = await asked(self._client.health.service(name, index=index, wait=f"{WAIT}s"))
            self._take(name, found)
            index = following(index, told)
            await asyncio.sleep(_PACE)

    def _take(self, name: str, found: Iterable[Mapping[str, Any]]) -> None:
        instances, nameless = understood(lambda: from_health(found, self._hub))
        for one in sorted(set(nameless) - self._nameless):
            log.warning(
                "%s, registered with Consul as %s, is not served: its address is no IPv4 address with a port", one, name
            )
        self._nameless |= frozenset(nameless)
        if self._instances.get(name) != instances:
            self._instances[name] = instances
            self._tell(dict(self._instances))


def _tags(found: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(tags) for name, tags in found.items()}


def following(before: str | None, told: str) -> str | None:
    """The index for the next query; None, to begin anew, where Consul's went back as it does in a new life."""
    number = int(told) if told.isdigit() else 0
    return None if number < 1 or (before is not None and number < int(before)) else str(number)
