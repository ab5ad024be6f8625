"""Keeps what Consul says of this hub as it should be: instances, their checks, and states among the keys.

Owns the memory of what Consul was last known to say. After any doubt, and first of all, it is asked anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from services.scaler.registry.client import Client, asked, erased, understood, written
from services.scaler.registry.desired import HUB, Here, Registration, Said, desired, difference, from_agent, from_keys
from services.scaler.registry.standing import Standing

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 8
"""Calls under way."""
FORGOTTEN_AFTER = "10m"
"""An instance that nobody has fed for so long is removed by Consul itself: its hub is gone for good."""


class Registrar:
    """Every method raises Away or Denied; after one, and after a cancelled one, `look` comes first."""

    def __init__(self, client: Client, here: Here, ttl: float) -> None:
        """`ttl`: seconds after which Consul holds an instance for dead that was not fed."""
        self._client = client
        self._here = here
        self._ttl = ttl
        self._found = Said()
        self._lost: frozenset[str] = frozenset()

    async def look(self) -> None:
        """Ask what Consul says of this hub, an earlier life of it included."""
        own = f'Meta["{HUB}"] == "{self._here.hub}"'
        services = await asked(self._client.agent.services(own))
        _, keys = await asked(self._client.kv.get(self._here.prefix, recurse=True))
        instances, entries = understood(lambda: (from_agent(services), from_keys(keys, self._here)))
        fed = {key: one for key, one in instances.items() if key not in self._lost}
        self._found, self._lost = Said(fed, entries), frozenset()

    async def follow(self, standings: Iterable[Standing]) -> None:
        """Bring Consul's word up to date with these; no call where nothing has changed."""
        wanted = desired(standings, self._here, self._found, time.time())
        change = difference(wanted, self._found)
        if not change:
            return
        await _each(self._deregister, change.deregister)
        await _each(self._register, change.register)
        prefix = self._here.prefix
        writes = [written(prefix + name, entry.text()) for name, entry in change.write.items()]
        await self._client.transact([*writes, *(erased(prefix + name) for name in change.erase)])
        self._found = wanted
        log.debug("told Consul: %s", change)

    async def feed(self) -> bool:
        """Tell that every instance is well. False: Consul knows nothing of some, so it has to be asked anew; those are
        registered again by the next `follow`, whatever it answers then."""
        instances = self._found.registrations
        known = await _each(self._feed, instances.values())
        self._lost = frozenset(key for key, well in zip(instances, known, strict=True) if not well)
        return not self._lost

    async def leave(self) -> None:
        """Remove every word of this hub."""
        await self.look()
        await _each(self._deregister, self._found.registrations)
        await asked(self._client.kv.delete(self._here.prefix, recurse=True))
        self._found = Said()

    async def _register(self, one: Registration) -> None:
        check = {
            "CheckID": one.check,
            "Name": "fed by the hub",
            "TTL": f"{self._ttl:g}s",
            "Status": "passing",
            "DeregisterCriticalServiceAfter": FORGOTTEN_AFTER,
        }
        call = self._client.agent.service.register(
            one.name,
            service_id=one.id,
            address=one.address,
            port=one.port,
            tags=list(one.tags),
            meta=dict(one.meta),
            check=check,
            replace_existing_checks=True,
        )
        await asked(call)

    async def _feed(self, one: Registration) -> bool:
        return bool(await asked(self._client.agent.check.ttl_pass(one.check)))

    async def _deregister(self, instance: str) -> None:
        await asked(self._client.agent.service.deregister(instance))


async def _each(act: Callable[[T], Awaitable[R]], things: Iterable[T]) -> list[R]:
    """Outcomes in order, some acts at once. The first fault ends the others and is raised."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(thing: T) -> R:
        async with places:
            return await act(thing)

    tasks = [asyncio.ensure_future(one(thing)) for thing in things]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
