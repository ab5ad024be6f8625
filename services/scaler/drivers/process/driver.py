"""The process driver: each replica is a program of this machine in a session of its own.

Owns the verbs of the contract and the order of their steps: the record first, then the deed. How trees are held, ports
leased, readiness seen, sizes measured and packages installed stands in the modules beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services import disk
from services.catalog.addresses import Addresses
from services.catalog.model import Catalog, Local, Service
from services.layout import Layout
from services.scaler.core.events import Adopted, Exited, Measured, ReplicaId
from services.scaler.drivers.background import Background
from services.scaler.drivers.base import PauseError, Post, ProgressReport, Running, StartError
from services.scaler.drivers.grudges import Grudges
from services.scaler.drivers.process import adoption, ending, logs, noticing, readiness, spawn, thawing
from services.scaler.drivers.process.install import Installer
from services.scaler.drivers.process.keeping import FolderKeeping
from services.scaler.drivers.process.measure import Meter
from services.scaler.drivers.process.platform import Wish, detect
from services.scaler.drivers.process.ports import NoPort, PortLeases
from services.scaler.drivers.process.proc import boot, identify, lives
from services.scaler.drivers.process.records import Phase, Record, Records
from services.scaler.drivers.process.replica import Replica
from services.scaler.drivers.process.startup import until_back, until_ready
from services.scaler.drivers.usage import Usage

log = logging.getLogger(__name__)

_FREEZE_WITHIN = 3.0
_ANSWER_AFTER_THAW = 30.0
_KEEP_LOGS_EVERY = 1.0
_BUSY_ANSWER = 1.0
_AFTER_SERVING = 0.25
"""Seconds that what can wait does wait after a replica has become ready or was thawed."""


class ProcessDriver:
    """`post` is called from the event loop only. May be made before there is one."""

    def __init__(
        self, layout: Layout, post: Post, *, containment: Wish = Wish.AUTO, disk_floor: int = disk.FLOOR
    ) -> None:
        """`disk_floor`: bytes that installations and logs leave free. Raises NoCgroup where control groups were asked
        for and cannot be had."""
        self._layout = layout
        self._post = post
        self._boot = boot()
        self._platform = detect(owner(layout.data), containment)
        self._records = Records(layout.replicas)
        self._ports = PortLeases(layout.data)
        self._grudges = Grudges(layout.state / "not-pausable.json")
        self._installer = Installer(layout, self._platform.mark("~install"), disk_floor)
        self.keeping = FolderKeeping(layout, self._installer)
        self._logs = logs.LogKeeper(layout.logs, disk_floor)
        self._meter = Meter(self._platform.marks)
        self._usage = Usage()
        self._measuring = asyncio.Lock()
        self._replicas: dict[ReplicaId, Replica] = {}
        self._catalog = Catalog()
        self._where: Mapping[str, Addresses] = {}
        self._background = Background()
        self._keeper: asyncio.Task[None] | None = None

    # -- what is and what could be -------------------------------------------------------------------------------------

    def configure(self, catalog: Catalog, where: Mapping[str, Addresses]) -> None:
        self._catalog = catalog
        self._where = where

    def unavailable(self, service: Service) -> str | None:
        if service.local is None:
            return f"{service.name} has no local form (x-hub.local), and this hub runs without Docker"
        needed = service.local.requires
        if needed and shutil.which(needed, path=spawn.user_path()) is None:
            return f"{service.name} needs the program {needed!r}, which is not on the PATH of this hub"
        return None

    def container(self, replica: ReplicaId) -> str | None:
        return None

    def pausable(self, name: str) -> str | None:
        service = self._catalog.services.get(name)
        return self._grudges.reason(name, service.digest) if service else None

    def describe(self) -> Sequence[tuple[str, str, bool, str]]:
        return [self._platform.describe(), *self._installer.describe()]

    def df(self) -> Mapping[str, Any]:
        return disk.usage(self._layout)

    def prune(self, names: Collection[str] | None, running: Collection[str], *, cache: bool) -> Mapping[str, Any]:
        busy = self._installer.busy
        return disk.prune(self._layout, names, {*running, *busy}, cache=cache and not busy)

    def installed(self, service: Service) -> bool:
        package = service.local.package if service.local else None
        return package is None or self._installer.installed(service.name, package)

    async def adopt(self) -> Sequence[Adopted]:
        for live in await adoption.take_up(self._platform, self._records, self._layout):
            self._replicas[live.id] = live
            self._ports.hold(live.id, live.record.ports.values())
        # Said before anything is watched: an exit that follows at once is then news of a replica that is known.
        found = [adoption.told(live) for live in self._replicas.values()]
        for live in list(self._replicas.values()):
            live.watch(self._on_exit)
        self._keep_logs()
        return found

    async def prepare(self, service: Service, report: ProgressReport) -> None:
        if service.local is not None and service.local.package is not None:
            in_use = any(live.record.service == service.name for live in self._replicas.values())
            await self._installer.install(service.name, service.local.package, report, in_use=in_use)

    # -- start and readiness -------------------------------------------------------------------------------------------

    async def start(self, service: Service, replica: ReplicaId) -> Running:
        if known := self._replicas.get(replica):
            return Running(known.record.endpoints, known.record.pid)
        if service.local is None:
            raise StartError(f"{service.name} has no local form (x-hub.local)")
        try:
            ports = self._ports.lease(replica, [port.name for port in service.ports])
            return self._begin(service, service.local, replica, ports)
        except (NoPort, OSError) as error:
            self._forget(replica)
            raise StartError(f"{service.name}: {error}") from error
        except StartError:
            self._forget(replica)
            raise

    def _begin(self, service: Service, local: Local, replica: ReplicaId, ports: Mapping[str, int]) -> Running:
        mark = self._platform.mark(replica)
        programs = self._installer.folder(service.name, local.package) / "bin" if local.package else None
        ground = spawn.Ground(mark, self._layout, programs, self._catalog, self._where)
        program = spawn.program(service, local, ports, ground)
        tree = self._platform.containment(replica)
        self._platform.limit(tree.cgroup, service.resources)
        path = self._layout.service_log(service.name)
        record = Record(
            replica=replica,
            service=service.name,
            digest=service.digest,
            phase=Phase.STARTING,
            ports=dict(ports),
            boot=self._boot,
            exposed=local.expose,
            cgroup=str(tree.cgroup) if tree.cgroup else None,
            log_offset=logs.size(path),
        )
        self._records.write(record)
        process = spawn.begin(program, service, path, replica)
        try:
            # Our own child stays a zombie until we reap it, so it is always still there to be read.
            root = identify(process.pid)
            record = replace(record, pid=root.pid, start=root.start)
            live = Replica(record, tree, path, mark, process)
            tree.begin(root)
            live.watch(self._on_exit)
        except OSError:
            spawn.abandon(process)
            raise
        self._replicas[replica] = live
        self._records.note(record)
        if self._platform.controllers:
            # Memory is charged to the group that a process is in when it asks for it: the limit must hold from now on.
            live.begin_enclosing()
        self._keep_logs()
        return Running(record.endpoints, process.pid)

    async def ready(self, service: Service, replica: ReplicaId) -> None:
        live = self._replicas.get(replica)
        if live is None:
            raise StartError(f"{replica} is not running")
        try:
            await until_ready(service, live)
        except StartError:
            await self._end_now(live)
            raise
        self._phase(live, Phase.READY)
        if live.ended.done():
            # It died in the very step: nobody else has been told.
            await self._end_now(live)
            raise StartError(f"{service.name} {live.ended.result()} when it had just become ready{live.last_words()}")
        self._background.begin(self._count_from_here(live))

    # -- rest ----------------------------------------------------------------------------------------------------------

    async def pause(self, service: Service, replica: ReplicaId) -> None:
        live = self._living(replica)
        if why := self._grudges.reason(service.name, service.digest):
            raise PauseError(f"{service.name} does not bear being paused: {why}")
        async with live.verb:
            self._living(replica)  # a stop may have come first
            self._unwatch(live)
            await live.enclosed()
            live.frozen_with = thawing.worth_watching(await asyncio.to_thread(live.tree.members))
            freezing = asyncio.create_task(asyncio.to_thread(live.tree.freeze, _FREEZE_WITHIN))
            try:
                await asyncio.shield(freezing)
            except (asyncio.CancelledError, TimeoutError, OSError) as error:
                # The thread cannot be called back: wait for it, then undo it. Half a frozen tree must never stay.
                await asyncio.wait({freezing})
                await asyncio.to_thread(live.tree.thaw)
                if isinstance(error, asyncio.CancelledError):
                    raise
                raise PauseError(f"{service.name} could not be frozen: {error}") from error
            self._phase(live, Phase.PAUSED)

    async def resume(self, service: Service, replica: ReplicaId) -> None:
        live = self._living(replica)
        async with live.verb:
            self._living(replica)
            live.tree.thaw()
            live.meddled = False
            self._phase(live, Phase.READY)
            said = await until_back(service, live, _ANSWER_AFTER_THAW)
        if said is not None:
            self._grudges.exit_after_thaw(service.name, service.digest, said)
            words = live.last_words()
            await self._end_now(live)
            raise PauseError(f"{service.name} did not come back from its pause: {said}{words}")
        self._unwatch(live)
        live.thawed = self._background.begin(self._watch_thawed(service, live))

    async def _watch_thawed(self, service: Service, live: Replica) -> None:
        await self._count_from_here(live)
        lost = await thawing.loss(service, live, live.frozen_with)
        if lost is not None and not live.stopping and not live.ended.done():
            self._grudges.remember(service.name, service.digest, lost)

    def _unwatch(self, live: Replica) -> None:
        if live.thawed is not None:
            live.thawed.cancel()
            live.thawed = None

    # -- end -----------------------------------------------------------------------------------------------------------

    async def stop(self, service: Service, replica: ReplicaId) -> str:
        live = self._replicas.get(replica)
        if live is None:
            return self._gone(replica)
        live.stopping = True
        async with live.verb:
            if self._replicas.get(replica) is not live:
                return self._gone(replica)
            self._phase(live, Phase.STOPPING)
            await live.not_enclosing()
            polite = ending.number(service.stop_signal)
            manner = await ending.end(live.tree, live.root, polite, service.stop_grace)
            await self._drop(live)
            return manner

    def _gone(self, replica: ReplicaId) -> str:
        """It ended by itself. Whoever stops it now has withdrawn its endpoint, so its ports may be issued again."""
        self._ports.end(replica)
        return "it had ended before"

    def alive(self, replica: ReplicaId) -> bool:
        live = self._replicas.get(replica)
        return live is not None and not live.ended.done() and lives(live.root)

    def ended_by_hand(self, replica: ReplicaId) -> bool:
        return False  # a signal does not tell who has sent it

    async def _end_now(self, live: Replica) -> None:
        live.stopping = True
        async with live.verb:
            if self._replicas.get(live.id) is live:
                self._phase(live, Phase.STOPPING)
                await live.not_enclosing()
                await ending.kill(live.tree)
                await self._drop(live)

    async def _drop(self, live: Replica) -> None:
        """Nothing of it runs: forget it."""
        self._unwatch(live)
        # Killed a moment ago: its exit is on its way to us, and with it the last of the zombie.
        await asyncio.wait({live.ended}, timeout=1.0)
        live.release()
        self._forget(live.id, published=live.published)

    def _forget(self, replica: ReplicaId, *, published: bool = False) -> None:
        """`published`: a gateway may have its address still; the ports stay leased until somebody says `stop`."""
        self._replicas.pop(replica, None)
        self._records.remove(replica)
        if not published:
            self._ports.end(replica)
        self._usage.forget(replica)

    def _on_exit(self, live: Replica) -> None:
        if live.stopping or live.record.phase is Phase.STARTING:
            return  # Whoever waits for its end or its readiness sees it there.
        self._background.begin(self._bury(live))

    async def _bury(self, live: Replica) -> None:
        """An exit that nobody asked for: what the root left behind goes too, then it is told."""
        manner = live.ended.result()
        if live.thawed is not None and not live.thawed.done():
            self._grudges.exit_after_thaw(live.record.service, live.record.digest, manner)
        reason = f"{live.record.service} {manner}{live.last_words()}"
        live.published = True
        await self._end_now(live)
        self._post(Exited(live.id, reason))

    # -- measuring -----------------------------------------------------------------------------------------------------

    async def measure(self, replicas: Sequence[ReplicaId]) -> Sequence[Measured]:
        async with self._measuring:
            wanted = [live for name in replicas if (live := self._replicas.get(name)) and not live.stopping]
            readings = await asyncio.to_thread(self._meter.read, wanted) if wanted else {}
        ports = noticing.listening()
        for live in wanted:
            for event in noticing.news(live, readings.get(live.id), ports):
                self._post(event)
        busy = await asyncio.gather(*(self._busy(live) for live in wanted))
        return [
            self._usage.measured(
                *(live.id, found.memory, found.cpu_seconds, is_busy, self._catalog.services.get(live.record.service))
            )
            for live, is_busy in zip(wanted, busy, strict=True)
            if (found := readings.get(live.id)) is not None
        ]

    async def _busy(self, live: Replica) -> bool:
        service = self._catalog.services.get(live.record.service)
        if service is None or not service.busy.http or not service.main or live.record.phase is not Phase.READY:
            return False
        port = live.record.ports.get(service.main.name)
        return port is not None and await readiness.get(port, service.busy.http, _BUSY_ANSWER) == 200

    async def _count_from_here(self, live: Replica) -> None:
        """It has just become ready, or was thawed: what is left to do waits until those who waited are served."""
        await asyncio.sleep(_AFTER_SERVING)
        if live.stopping or live.verb.locked():
            return
        await live.enclosed()
        await live.gathered()
        self._usage.restart(live.id, await asyncio.to_thread(self._meter.cpu_seconds, live))
        if not live.record.exposed:
            await self._end_if_exposed(live)

    async def _end_if_exposed(self, live: Replica) -> None:
        """The first look was at the root alone; a child may listen where other machines reach it."""
        beyond = await asyncio.to_thread(lambda: readiness.beyond_loopback(live.pids()))
        if beyond and not live.stopping:
            live.published = True
            await self._end_now(live)
            self._post(Exited(live.id, f"{live.record.service} {beyond}"))

    # -- the rest ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        await self._background.close()
        enclosing = [live.enclosing for live in self._replicas.values() if live.enclosing]
        for task in enclosing:
            task.cancel()
        await asyncio.gather(*enclosing, return_exceptions=True)
        for live in self._replicas.values():
            live.leave()
        self._platform.leave()

    def _living(self, replica: ReplicaId) -> Replica:
        live = self._replicas.get(replica)
        if live is None or live.stopping:
            raise PauseError(f"{replica} is not running")
        return live

    def _phase(self, live: Replica, phase: Phase) -> None:
        live.record = replace(live.record, phase=phase)
        self._records.note(live.record)

    def _keep_logs(self) -> None:
        if self._replicas and (self._keeper is None or self._keeper.done()):
            self._keeper = self._background.begin(self._look_at_logs())

    async def _look_at_logs(self) -> None:
        while self._replicas:
            await asyncio.sleep(_KEEP_LOGS_EVERY)
            await asyncio.to_thread(self._logs.look, [live.log for live in self._replicas.values()])


def owner(data: Path) -> str:
    """The mark that all processes of one data folder carry."""
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
