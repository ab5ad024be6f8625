"""The Docker driver: each replica is a container of a compose project.

Owns the verbs of the contract and the order of their steps: the record first, then the deed. Finding the engine,
following its events, making containers, names, readiness, sizes and images stand in the modules beside it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any

from services.catalog.addresses import Addresses
from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog, Service
from services.layout import Layout
from services.scaler.core.events import Adopted, End, Measured, ReplicaId
from services.scaler.drivers.background import Background
from services.scaler.drivers.base import (
    DriverError,
    PauseError,
    Post,
    PrepareError,
    ProgressReport,
    Running,
    StartError,
)
from services.scaler.drivers.docker import adoption, disk, past_gateway, readiness, replicas, thawing
from services.scaler.drivers.docker.arrangement import Stacks
from services.scaler.drivers.docker.book import Book, Change, Container, What
from services.scaler.drivers.docker.containers import Alive, Containers
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.gateways import Bootstrap, InnerGateways
from services.scaler.drivers.docker.hands import Hands
from services.scaler.drivers.docker.images import Images
from services.scaler.drivers.docker.intents import is_leaving
from services.scaler.drivers.docker.keeper import Keeper
from services.scaler.drivers.docker.keeping import VolumeKeeping
from services.scaler.drivers.docker.measuring import Measuring
from services.scaler.drivers.docker.names import Names
from services.scaler.drivers.docker.preparing import Preparing
from services.scaler.drivers.docker.pull import FLOOR, Pulls
from services.scaler.drivers.docker.records import Phase, Record, Records
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.docker.roster import Roster, told
from services.scaler.drivers.docker.watch import Watch
from services.scaler.drivers.grudges import Grudges

log = logging.getLogger(__name__)

_NEWS = 5.0
"""Seconds in which an end that the engine has confirmed is told by its events too."""
_AFTER_SERVING = 0.25
"""Seconds that what can wait does wait after a replica has become ready or was thawed."""


class DockerDriver:
    """`post` is called from the event loop only. May be made before there is one."""

    def __init__(
        self, layout: Layout, post: Post, *, host: str | None = None, disk_floor: int = FLOOR, hold: bool = False
    ) -> None:
        """`host`: of the engine; None: as the docker client finds it. `disk_floor`: bytes that pulls leave free.
        `hold`: what can be held has its network from a holder."""
        self._layout, self._disk_floor = layout, disk_floor
        self.engine = Engine(host)
        self._book = Book()
        self._background = Background()
        self.images = Images(self.engine)
        self._pulls = Pulls(self.engine, self.images, disk_floor)
        self.stacks = Stacks(layout, hold=hold)
        self._containers = Containers(self.engine, self._book, self.stacks, self.images, self._keep_volumes)
        self._roster = Roster(Records(layout.replicas))
        self._grudges = Grudges(layout.state / "not-pausable.json")
        self._hands = Hands(self._roster, self._book, self._containers, post, self._background.begin, self._gone)
        self._watch = Watch(self.engine, self._book, self._changed, self.images.forget)
        self._measuring = Measuring(self.engine, post)
        self.keeper = Keeper(self.engine, self.images, layout)
        self._watch.also.append(self.keeper.changed(self._keep_volumes))
        self._watch.reconnected += [self._hands.look_again, self._keep_volumes]
        self.keeping = VolumeKeeping(
            self.engine, self._book, self.stacks, self.images, self.keeper, self._pulls, layout
        )
        self._preparing = Preparing(self._containers, self.stacks, self.images, self._pulls)
        self.names = Names(
            *(self.engine, self.images, self.keeper, self.stacks, self._book, self._watch, layout), hold=hold
        )
        self._containers.holders = self.names.holders
        self._catalog, self._up = Catalog(), False

    # -- what is and what could be -------------------------------------------------------------------------------------

    def configure(self, catalog: Catalog, where: Mapping[str, Addresses]) -> None:
        self._catalog = catalog
        self._roster.configure(catalog)
        self.stacks.configure(catalog)
        self._keep_volumes()

    def unavailable(self, service: Service) -> str | None:
        return replicas.unavailable(service)

    def container(self, replica: ReplicaId) -> str | None:
        live = self._roster.get(replica)
        if live is None:
            return None
        now = self._book.get(live.record.container)
        return now.name if now else live.record.name

    def pausable(self, name: str) -> str | None:
        service = self._catalog.services.get(name)
        if service is not None and not service.lazy:
            return f"{name} is not on demand: compose started it, and it is never put to rest"
        return self._grudges.reason(name, service.digest) if service else None

    def installed(self, service: Service) -> bool:
        entry = self.stacks.known(service)
        image = entry.image if entry else service.image
        return bool(self._containers.all_of(service)) or bool(image and self.images.id_of(image))

    def describe(self) -> Sequence[tuple[str, str, bool, str]]:
        return disk.describe(self.engine, self._watch.connected.is_set(), self._disk_floor)

    def df(self) -> Mapping[str, Any]:
        return self._from_thread(disk.usage(self.engine, self.stacks, self._catalog))

    def prune(self, names: Collection[str] | None, running: Collection[str], *, cache: bool) -> Mapping[str, Any]:
        return self._from_thread(disk.prune(self.engine, self.stacks, self._catalog, self._containers, names, running))

    async def inside(self) -> Sequence[InsideNetwork]:
        """The networks that lazy HTTP services are on, made where they are missing, and the names there that belong to
        the gateway. Raises EngineAway, EngineRefused."""
        return await self.names.networks(self._catalog)

    def gateways(self, binary: str, bootstrap: Bootstrap) -> InnerGateways:
        """The inner gateways on this engine, told of their containers' ends. Once, after `adopt`."""
        return self.names.gateways(binary, bootstrap)

    # -- up ------------------------------------------------------------------------------------------------------------

    async def adopt(self) -> Sequence[Adopted]:
        """Raises DriverError where no engine answers, or one that is too old."""
        self._loop = asyncio.get_running_loop()
        try:
            await self.engine.connect()
            self.stacks.configure(self._catalog)
            await self.stacks.all()
            await self._watch.begin()
        except (EngineAway, EngineRefused) as error:
            raise DriverError(str(error)) from error
        self._up = True
        await self.images.look()
        await self.names.begin()
        await adoption.take_up(self._roster, self._book, self._containers, self._catalog)
        self._keep_volumes()
        return [told(live) for live in self._roster]

    async def prepare(self, service: Service, report: ProgressReport) -> None:
        try:
            await self._preparing.prepare(service, report, self._roster.taken())
        except (EngineAway, EngineRefused) as error:
            raise PrepareError(f"{service.name}: {error}") from error

    # -- start and readiness -------------------------------------------------------------------------------------------

    async def start(self, service: Service, replica: ReplicaId) -> Running:
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
            if not (error.status == 404 or is_leaving(error)) or not service.lazy:
                raise
            log.info("%s cannot be started (%s): it is made anew", container.name, error)
        async with self._containers.making(service):
            container = await self._containers.renew(service, container, self._roster.taken())
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
                reach = ", ".join(sorted(self.engine.own_networks or ())) or "any network of this machine"
                raise StartError(f"{service.name}: its container has no address that the hub can reach ({reach})")
        except BaseException:
            await self._abandon(live)
            raise
        return live.record.running

    async def _started(self, service: Service, container: Container) -> Alive:
        now = self._book.get(container.id) or container
        if not now.runs or service.lazy:
            await self._containers.start(service, now)
        return await self._containers.look(service, container.id)

    async def ready(self, service: Service, replica: ReplicaId) -> None:
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
        self._background.begin(self._count_from_here(live))

    async def _died(self, service: Service, live: Replica, when: str) -> StartError:
        live.stopping = True
        ended = await self._containers.ended(live.record.container, oom=live.oom)
        words = await self._containers.last_words(live.record.container)
        self._leave(live)
        end = replicas.end_of(service, ended, by_hand=live.was_told_to_end())
        if end is End.LEFT:
            self._hands.reappears(live.record.container)
        return replicas.AS_ERROR[end](f"{service.name} {ended.manner} {when}{words}")

    # -- rest ----------------------------------------------------------------------------------------------------------

    async def pause(self, service: Service, replica: ReplicaId) -> None:
        live = self._living(replica)
        if why := self.pausable(service.name) or past_gateway.against_pause(live.published):
            raise PauseError(f"{service.name} does not bear being paused: {why}")
        async with live.verb:
            self._living(replica)  # a stop may have come first
            live.unwatch()
            if live.record.phase is Phase.PAUSED and not live.meddled:
                return
            freezing = asyncio.create_task(self._freeze(live))
            try:
                await asyncio.shield(freezing)
            except asyncio.CancelledError:
                # What the engine was told cannot be called back: wait for it, then undo it.
                await asyncio.wait({freezing})
                await self._thaw(live)
                raise
            except (EngineRefused, EngineAway) as error:
                raise PauseError(f"{service.name} could not be frozen: {error}") from error
            live.meddled = False
            self._roster.phase(live, Phase.PAUSED)

    async def _freeze(self, live: Replica) -> None:
        await live.ours(What.PAUSED, self._containers.pause)

    async def _thaw(self, live: Replica) -> None:
        await live.ours(What.UNPAUSED, self._containers.unpause)

    async def resume(self, service: Service, replica: ReplicaId) -> None:
        live = self._living(replica)
        async with live.verb:
            self._living(replica)
            try:
                said = await thawing.bring_back(service, live, self._thaw)
            except (EngineRefused, EngineAway) as error:
                said = str(error)
        if said is not None:
            live.stopping = True
            if live.ended.done():
                said = await self._containers.manner(live.record.container, oom=live.oom)
                if not live.was_told_to_end():
                    self._grudges.exit_after_thaw(service.name, service.digest, said)
            words = await self._containers.last_words(live.record.container)
            await self._abandon(live)
            raise PauseError(f"{service.name} did not come back from its pause: {said}{words}")
        live.unwatch()
        live.thawed = self._background.begin(self._watch_thawed(service, live))

    async def _watch_thawed(self, service: Service, live: Replica) -> None:
        await self._count_from_here(live)
        lost = await thawing.loss(service, live)
        if lost is not None and not live.stopping and not live.ended.done():
            self._grudges.remember(service.name, service.digest, lost)

    # -- end -----------------------------------------------------------------------------------------------------------

    async def stop(self, service: Service, replica: ReplicaId) -> str:
        live = self._roster.get(replica)
        if live is None:
            return "it had ended before"
        if not live.record.lazy:
            self._leave(live)
            return "left running: it is not on demand, compose started it"
        live.stopping = True
        async with live.verb:
            if self._roster.get(replica) is not live:
                return "it had ended before"
            self._roster.phase(live, Phase.STOPPING)
            begun = time.monotonic()
            try:
                await self._containers.stop(live.record.container, service.stop_grace)
            except EngineRefused as error:
                raise OSError(f"{live.record.name} could not be stopped: {error}") from error
            await asyncio.wait({live.ended}, timeout=_NEWS)
            manner = await self._containers.manner(live.record.container, oom=live.oom)
            self._leave(live)
            return replicas.ending(manner, time.monotonic() - begun, service)

    def alive(self, replica: ReplicaId) -> bool:
        live = self._roster.get(replica)
        return live is not None and not live.ended.done() and not live.is_gone()

    def ended_by_hand(self, replica: ReplicaId) -> bool:
        live = self._roster.get(replica)
        return live is not None and live.was_told_to_end()

    async def _abandon(self, live: Replica) -> None:
        """Nothing of it is left running; what is not on demand is only let go of."""
        live.stopping = True
        if live.record.lazy:
            try:
                if await self._containers.kill(live.record.container):
                    await asyncio.wait({live.ended}, timeout=_NEWS)
            except (EngineRefused, EngineAway) as error:
                log.warning("%s may still run: %s", live.record.name, error)
        self._leave(live)

    def _gone(self, live: Replica, manner: str) -> None:
        if live.thawed is not None and not live.thawed.done():
            self._grudges.exit_after_thaw(live.record.service, live.record.digest, manner)
        self._leave(live)

    def _leave(self, live: Replica) -> None:
        self._roster.leave(live)
        self._measuring.forget(live.id)

    # -- measuring and the rest ----------------------------------------------------------------------------------------

    async def measure(self, replicas: Sequence[ReplicaId]) -> Sequence[Measured]:
        wanted = [live for name in replicas if (live := self._roster.get(name)) and not live.stopping]
        wanted = [live for live in wanted if not live.is_gone()]
        return await self._measuring.measure(wanted, self._catalog)

    async def _count_from_here(self, live: Replica) -> None:
        """It has just become ready, or was thawed: what is left to do waits until those who waited are served."""
        await asyncio.sleep(_AFTER_SERVING)
        if not live.stopping:
            self._roster.note(live)
            await self._measuring.count_from_here(live)

    def _keep_volumes(self, after: float = 0.0) -> None:
        async def keep() -> None:
            await asyncio.sleep(after)
            await self.keeper.keep(await self.stacks.all(), self._catalog)

        if self._up:
            self._background.begin(keep())

    async def close(self) -> None:
        await self._background.close()
        await self._watch.close()
        await self._pulls.close()
        await self.stacks.close()
        await self.engine.close()
        self._up = False

    def _changed(self, change: Change) -> None:
        if self._up:
            self._hands.changed(change)

    def _living(self, replica: ReplicaId) -> Replica:
        live = self._roster.get(replica)
        if live is None or live.stopping:
            raise PauseError(f"{replica} is not running")
        return live

    def _from_thread(self, work: Coroutine[Any, Any, Mapping[str, Any]]) -> Mapping[str, Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
