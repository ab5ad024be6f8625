"""The process driver: each replica is a program of this machine in a session of its own.

Owns the verbs of the contract and the order of their steps: the record first, then the deed. How trees are held, ports
leased, readiness seen and packages installed stands in the modules beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services.catalog.addresses import Addresses
from services.catalog.model import Catalog, Local, Service
from services.layout import Layout
from services.scaler.core.events import Adopted, Exited, Measured, ReplicaId
from services.scaler.drivers.base import PauseError, Post, ProgressReport, Running, StartError
from services.scaler.drivers.process import ending, logs, readiness, spawn
from services.scaler.drivers.process.platform import Platform, Wish, detect
from services.scaler.drivers.process.ports import NoPort, PortLeases
from services.scaler.drivers.process.proc import Identity, boot, read
from services.scaler.drivers.process.records import Phase, Record, Records
from services.scaler.drivers.process.replica import Replica

log = logging.getLogger(__name__)

_FREEZE_WITHIN = 3.0
_ANSWER_AFTER_THAW = 30.0
_ALIVE_WITHOUT_PORT = 0.2
"""A service without a port is ready when it has lived so many seconds."""


class ProcessDriver:
    """`post` is called from the event loop only."""

    def __init__(self, layout: Layout, post: Post, *, containment: Wish = Wish.AUTO) -> None:
        """Raises NoCgroup where control groups were asked for and cannot be had."""
        self._layout = layout
        self._post = post
        self._boot = boot()
        self._platform: Platform = detect(owner(layout.data), containment)
        self._records = Records(layout.replicas)
        self._ports = PortLeases(layout.data)
        self._replicas: dict[ReplicaId, Replica] = {}
        self._catalog = Catalog()
        self._where: Mapping[str, Addresses] = {}
        self._tasks: set[asyncio.Task[None]] = set()

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

    def describe(self) -> str:
        """How replicas are contained and whether limits are enforced, for `doctor`."""
        return self._platform.describe()

    async def adopt(self) -> Sequence[Adopted]:
        return []

    async def prepare(self, service: Service, report: ProgressReport) -> None:
        pass

    # -- start and readiness -------------------------------------------------------------------------------------------

    async def start(self, service: Service, replica: ReplicaId) -> Running:
        if known := self._replicas.get(replica):
            return Running(known.record.endpoints, known.record.pid)
        local = self._local(service)
        try:
            ports = self._ports.lease(replica, [port.name for port in service.ports])
            return await self._begin(service, local, replica, ports)
        except BaseException as error:
            await self._drop(replica)
            if isinstance(error, (NoPort, OSError)):
                raise StartError(f"{service.name}: {error}") from error
            raise

    async def _begin(self, service: Service, local: Local, replica: ReplicaId, ports: Mapping[str, int]) -> Running:
        program = spawn.program(
            service, local, ports, self._platform.mark(replica), self._layout, self._catalog, self._where
        )
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
        seen = read(process.pid)
        # Our own child stays a zombie until we reap it, so it is always still there to be read.
        root = Identity(process.pid, seen.start if seen else 0)
        record = replace(record, pid=root.pid, start=root.start)
        live = self._replicas[replica] = Replica(record, tree, path, process)
        self._records.write(record)
        # Joining a group can wait 20 ms for the kernel; the program need not wait with us.
        live.enclosing = asyncio.create_task(self._enclose(live))
        live.watch(self._on_exit)
        return Running(record.endpoints, root.pid)

    async def _enclose(self, live: Replica) -> None:
        try:
            await asyncio.to_thread(live.tree.enclose, live.root)
        except OSError as error:
            log.warning("replica %s is not in a control group of its own: %s", live.id, error)

    async def ready(self, service: Service, replica: ReplicaId) -> None:
        live = self._replicas.get(replica)
        if live is None:
            raise StartError(f"{replica} is not running")
        try:
            await self._see_ready(service, live)
        except StartError:
            await self._end_now(live)
            raise
        self._phase(live, Phase.READY)

    async def _see_ready(self, service: Service, live: Replica) -> None:
        seen = readiness.Seen()
        target = readiness.Target(service, dict(live.record.ports), live.record.exposed, lambda: _pids(live))
        looking = asyncio.ensure_future(readiness.answers(target, seen) if service.ports else _outlive())
        try:
            done, _ = await asyncio.wait(
                {looking, live.ended}, timeout=service.wake.start_timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if not looking.done():
                looking.cancel()
                with contextlib.suppress(asyncio.CancelledError, StartError):
                    await looking
        if live.stopping:
            raise StartError(f"{service.name} was stopped while it started")
        if live.ended in done:
            raise StartError(f"{service.name} {live.ended.result()} before it was ready{live.last_words()}")
        if looking in done:
            looking.result()
            return
        pids = await asyncio.to_thread(_pids, live)
        where = await asyncio.to_thread(readiness.elsewhere, pids, list(live.record.ports.values()))
        told = "; ".join(part for part in (where, str(seen)) if part)
        raise StartError(
            f"{service.name} was not ready within {service.wake.start_timeout:g} s: {told}{live.last_words()}"
        )

    # -- rest ----------------------------------------------------------------------------------------------------------

    async def pause(self, service: Service, replica: ReplicaId) -> None:
        live = self._replicas.get(replica)
        if live is None or live.stopping:
            raise PauseError(f"{replica} is not running")
        async with live.verb:
            await self._enclosed(live)
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
        live = self._replicas.get(replica)
        if live is None or live.stopping:
            raise PauseError(f"{replica} is not running")
        async with live.verb:
            live.tree.thaw()
            self._phase(live, Phase.READY)
            said = await readiness.healthy(service, dict(live.record.ports), _ANSWER_AFTER_THAW)
        if said is not None or live.ended.done():
            words = live.last_words()
            await self._end_now(live)
            raise PauseError(f"{service.name} did not answer after its thaw: {said}{words}")

    # -- end -----------------------------------------------------------------------------------------------------------

    async def stop(self, service: Service, replica: ReplicaId) -> str:
        live = self._replicas.get(replica)
        if live is None:
            return "it had ended before"
        live.stopping = True
        async with live.verb:
            if self._replicas.get(replica) is not live:
                return "it had ended before"
            self._phase(live, Phase.STOPPING)
            await self._enclosed(live)
            manner = await ending.end(live.tree, live.root, ending.number(service.stop_signal), service.stop_grace)
            await self._drop(replica)
            return manner

    async def _end_now(self, live: Replica) -> None:
        live.stopping = True
        async with live.verb:
            if self._replicas.get(live.id) is live:
                self._phase(live, Phase.STOPPING)
                await self._enclosed(live)
                await ending.kill(live.tree)
                await self._drop(live.id)

    async def _drop(self, replica: ReplicaId) -> None:
        """Nothing of it runs: forget it."""
        live = self._replicas.pop(replica, None)
        if live is not None:
            if not live.ended.done():
                # Killed a moment ago: its exit is on its way to us.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(live.ended), 1.0)
            live.release()
        self._records.remove(replica)
        self._ports.end(replica)

    def _on_exit(self, live: Replica) -> None:
        if live.stopping or live.record.phase is Phase.STARTING:
            return  # Whoever waits for its end or its readiness sees it there.
        task = asyncio.get_running_loop().create_task(self._bury(live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bury(self, live: Replica) -> None:
        """An exit that nobody asked for: what the root left behind goes too, then it is told."""
        reason = f"{live.record.service} {live.ended.result()}{live.last_words()}"
        await self._end_now(live)
        self._post(Exited(live.id, reason))

    # -- measuring and the rest ----------------------------------------------------------------------------------------

    async def measure(self, replicas: Sequence[ReplicaId]) -> Sequence[Measured]:
        return []

    async def close(self) -> None:
        for task in [*self._tasks, *(live.enclosing for live in self._replicas.values() if live.enclosing)]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for live in self._replicas.values():
            live.release()

    def _local(self, service: Service) -> Local:
        if service.local is None or (why := self.unavailable(service)):
            raise StartError(why if service.local else f"{service.name} has no local form (x-hub.local)")
        return service.local

    def _phase(self, live: Replica, phase: Phase) -> None:
        live.record = replace(live.record, phase=phase)
        self._records.write(live.record)

    async def _enclosed(self, live: Replica) -> None:
        if live.enclosing is not None:
            await asyncio.shield(live.enclosing)


def owner(data: Path) -> str:
    """The mark that all processes of one data folder carry."""
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:16]


def _pids(live: Replica) -> list[int]:
    return [process.pid for process in live.tree.members()]


async def _outlive() -> None:
    await asyncio.sleep(_ALIVE_WITHOUT_PORT)
