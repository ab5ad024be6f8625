"""From a wish to a container that answers: which one it is, its start, its readiness, and the words for one that ends
before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.catalog.model import Service
from services.scaler.core.events import End, ReplicaId
from services.scaler.drivers.base import Running, StartError
from services.scaler.drivers.docker import readiness, replicas
from services.scaler.drivers.docker.book import Book, Container, State
from services.scaler.drivers.docker.containers import Alive, Containers
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.hands import Hands
from services.scaler.drivers.docker.intents import is_unusable
from services.scaler.drivers.docker.preparing import Preparing
from services.scaler.drivers.docker.records import Phase, Record
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.docker.roster import Roster

log = logging.getLogger(__name__)


class Starting:
    def __init__(
        self,
        engine: Engine,
        book: Book,
        roster: Roster,
        containers: Containers,
        preparing: Preparing,
        hands: Hands,
        *,
        abandon: Callable[[Replica], Awaitable[None]],
        leave: Callable[[Replica], None],
    ) -> None:
        """`abandon`: have nothing of a replica left running. `leave`: forget one that has ended."""
        self._engine = engine
        self._book = book
        self._roster = roster
        self._containers = containers
        self._preparing = preparing
        self._hands = hands
        self._abandon = abandon
        self._leave = leave

    async def start(self, service: Service, replica: ReplicaId) -> Running:
        """As the contract's verb."""
        if known := self._roster.get(replica):
            return known.record.running
        await self._roster.ending(service)
        if why := replicas.hindrance(service, self._roster.of(service)):
            raise StartError(why)
        try:
            return await self._begin(service, replica)
        except TimeoutError as error:
            raise StartError(f"{service.name}: the Docker Engine did not start it in time") from error
        except (EngineRefused, EngineAway, OSError) as error:
            raise StartError(f"{service.name}: {replicas.explained(str(error))}") from error

    async def _begin(self, service: Service, replica: ReplicaId) -> Running:
        async with self._containers.making(service):
            if not service.lazy:
                await self._preparing.bring_up(service)
            container = await self._containers.have(service, self._roster.taken())
            live = self._enter(service, replica, container)
        try:
            return await self._run(service, live, container)
        except EngineRefused as error:
            if not is_unusable(error) or not service.lazy:
                raise
            log.info("%s cannot be started (%s): it is made anew", container.name, error)
            async with self._containers.making(service):
                container = await self._containers.renew(service, container, self._roster.taken(), error)
                live = self._enter(service, replica, container)
        return await self._run(service, live, container)

    def _enter(self, service: Service, replica: ReplicaId, container: Container) -> Replica:
        record = Record(
            replica, service.name, service.digest, Phase.STARTING, container.id, container.name, lazy=service.lazy
        )
        self._roster.records.write(record)
        return self._roster.enter(Replica(record))

    async def _run(self, service: Service, live: Replica, container: Container) -> Running:
        try:
            async with asyncio.timeout(service.wake.start_timeout):
                alive = await self._started(service, container)
            live.take(alive)
            if service.ports and not alive.endpoints and alive.running:
                reach = ", ".join(sorted(self._engine.own_networks or ())) or "any network of this machine"
                raise StartError(f"{service.name}: its container has no address that the hub can reach ({reach})")
        except BaseException:
            await self._abandon(live)
            raise
        return live.record.running

    async def _started(self, service: Service, container: Container) -> Alive:
        now = self._book.get(container.id) or container
        # What is not lazy compose has just started: if it does not run, it has ended already.
        if service.lazy or now.state is State.CREATED:
            await self._containers.start(service, now)
        return await self._containers.look(service, container.id)

    async def ready(self, service: Service, replica: ReplicaId) -> Replica:
        """As the contract's verb. Returns what serves from now on."""
        live = self._roster.get(replica)
        if live is None:
            raise StartError(f"{replica} is not running")
        try:
            await readiness.until_ready(service, live)
        except readiness.Died as error:
            raise await self._died(service, live, "before it was ready") from error
        except StartError as error:
            words = await self._containers.last_words(live.record.container)
            await self._abandon(live)
            raise StartError(f"{error}{words}") from error
        self._roster.phase(live, Phase.READY)
        live.is_gone()
        if live.ended.done():
            raise await self._died(service, live, "when it had just become ready")
        return live

    async def _died(self, service: Service, live: Replica, when: str) -> StartError:
        live.stopping = True
        ended = await self._containers.ended(live.record.container, oom=live.oom, code=live.code)
        words = await self._containers.last_words(live.record.container)
        self._leave(live)
        end = replicas.end_of(service, ended, by_hand=live.was_told_to_end())
        if end is End.LEFT:
            self._hands.reappears(live.record.container)
        return replicas.AS_ERROR[end](f"{service.name} {ended.manner} {when}{words}")
