"""Care of one service's data: copying, restoring, upgrading. Owns the order of the steps and that no request is harmed.

Whatever is done, the door before the service is closed meanwhile: who asks for it waits as for any wake. A copy is made
while the service rests; one that cannot rest just now is frozen instead. Restoring and upgrading want it at rest, and
are refused while it is in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from services.catalog.model import Service
from services.keep import copies
from services.layout import Layout
from services.scaler.admin.consul_snapshots import CONSUL, ConsulSnapshots
from services.scaler.control.loop import Control
from services.scaler.core import resting
from services.scaler.core.events import Exited, SleepAsked
from services.scaler.core.state import Life
from services.scaler.drivers.base import Driver, DriverError
from services.scaler.drivers.keeping import KeepError, Keeping, Newer
from services.scaler.mesh.base import Busy, Mesh, Superseded

log = logging.getLogger(__name__)

_IDLE_PATIENCE = 3.0
"""Seconds for requests that are under way to end."""
_REST_PATIENCE = 60.0
"""Seconds for a service to come to rest when it was told to."""
_WAKE_AGAIN = 300.0
_PIECES_AHEAD = 4

Say = Callable[[str], None]


class InUse(Exception):
    """It is not done now; the message says who uses the service."""


class Care:
    def __init__(
        self,
        layout: Layout,
        control: Control,
        driver: Driver,
        mesh: Mesh,
        keeping: Keeping,
        version: str,
        consul: ConsulSnapshots | None,
    ) -> None:
        """`consul`: copies the service `consul`, which need not rest for it."""
        self._layout = layout
        self._control = control
        self._driver = driver
        self._mesh = mesh
        self._keeping = keeping
        self._consul = consul
        self.version = version

    async def parts(self, name: str) -> Sequence[str]:
        """What is kept of the service; empty where nothing is. Raises KeepError."""
        return await self._keeping.parts(self._control.spec(name))

    def logs(self, name: str, tail: int, *, follow: bool) -> AsyncIterator[bytes] | None:
        """None where they are files of the hub's data folder. Raises KeepError."""
        return self._keeping.logs(self._control.spec(name), tail, follow=follow)

    @asynccontextmanager
    async def copying(self, name: str) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """How the service is held still (`rested`, `frozen`), and its data as a tar, within the block. Afterwards it
        is awake again if it was before. Raises InCare, InUse, KeepError."""
        if name == CONSUL and self._consul is not None:
            yield "snapshot", self._consul.save()
            return
        with self._control.doors.closed(name):
            async with self._still(name) as how:
                yield how, self._keeping.save(self._control.spec(name))

    async def restore(self, name: str, archive: AsyncIterator[bytes]) -> None:
        """Put a copy in the place of the service's data: all of it or nothing. Raises InCare, InUse, KeepError, and
        what `archive` raises."""
        if name == CONSUL and self._consul is not None:
            await self._consul.load(archive)
            return
        with self._control.doors.closed(name):
            async with self._ended(name):
                await self._keeping.load(self._control.spec(name), archive)

    async def upgrade(self, name: str, say: Say) -> str:
        """Fetch the newest version that the entry allows, copy the data, prove that it becomes ready with nobody
        looking on, and only then let requests to it; else the version and the data from before. Returns how it ended,
        in a line. Raises InCare, InUse, KeepError, PrepareError; the service is then as before."""
        spec = self._control.spec(name)
        if not spec.lazy and spec.local is None:
            words = f"docker compose pull {name} && docker compose up -d {name}"
            raise KeepError(f"{name} is not on demand: compose runs it, and brings a newer version by `{words}`")
        say("looking for a newer version")
        newer = await self._keeping.fetch(spec, lambda phase, _, detail: say(f"{phase}: {detail}" if detail else phase))
        if newer is None:
            return "it is up to date"
        with self._control.doors.closed(name):
            async with self._ended(name):
                return await self._change(spec, newer, say)

    async def _change(self, spec: Service, newer: Newer, say: Say) -> str:
        copy = None
        if parts := await self._keeping.parts(spec):
            say(f"copying its data ({', '.join(parts)})")
            copy = await self._set_aside(spec, parts)
        say("trying the newer version")
        failure = await self._trial(spec)
        if failure is None:
            return f"upgraded from {newer.before} to {newer.after}"
        say(f"it does not become ready: {failure}")
        say("going back to the version before")
        await self._keeping.back(spec, newer)
        if copy is not None:
            await self._keeping.load(spec, _asynchronous(copy))
        raise KeepError(f"{spec.name} was not upgraded, the version before is in use again: {failure}")

    async def _trial(self, spec: Service) -> str | None:
        """Start it for nobody's requests, and end it again. Why it failed; None where it became ready."""
        replica = f"{spec.name}-0"  # numbers of replicas begin with 1
        try:
            await self._driver.prepare(spec, lambda *_: None)
            await self._driver.start(spec, replica)
            await self._driver.ready(spec, replica)
        except DriverError as error:
            return str(error)
        finally:
            await self._driver.stop(spec, replica)
        return None

    async def _set_aside(self, spec: Service, parts: Sequence[str]) -> copies.Copy:
        """A backup like any other, among those of the hub's data folder."""
        ahead: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(_PIECES_AHEAD)
        pouring = asyncio.create_task(_pour(self._keeping.save(spec), ahead))
        pieces = _pieces(ahead, asyncio.get_running_loop())
        try:
            return await asyncio.to_thread(
                lambda: copies.write(
                    self._layout.backups,
                    spec.name,
                    pieces,
                    version=self.version,
                    image=written_by(spec),
                    parts=parts,
                    how="rested",
                )
            )
        finally:
            pouring.cancel()

    # -- holding a service still ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _still(self, name: str) -> AsyncIterator[str]:
        service = self._control.fleet.world.services[name]
        if service.spec.lazy or service.spec.local is not None:
            if not resting.against_sleep(self._control.fleet.world, service):
                async with self._ended(name):
                    yield "rested"
                return
            frozen = [replica.id for replica in service.in_life(Life.READY, Life.DRAINING)]
            try:
                for replica in frozen:
                    await self._driver.pause(service.spec, replica)
                yield "frozen"
            finally:
                for replica in frozen:
                    with contextlib.suppress(DriverError):
                        await self._driver.resume(service.spec, replica)
            return
        ran = await self._keeping.freeze(service.spec)
        try:
            yield "frozen" if ran else "rested"
        finally:
            if ran:
                await self._keeping.thaw(service.spec)

    @asynccontextmanager
    async def _ended(self, name: str) -> AsyncIterator[None]:
        """No replica of it within the block; awake again afterwards, if it was before. The door is closed already."""
        world = self._control.fleet.world
        service = world.services[name]
        with contextlib.suppress(TimeoutError):
            # What was just answered is told as in flight until the gateway's figures are read again.
            async with asyncio.timeout(_IDLE_PATIENCE):
                await self._control.settled(lambda: not resting.against_restart(world, service))
        if in_use := resting.against_restart(world, service):
            raise InUse(f"{name} is in use: {', '.join(in_use)}")
        awake = bool(service.in_life(Life.READY))
        if service.spec.lazy or service.spec.local is not None:
            await self._end(name)
            ran = False
        else:
            ran = await self._keeping.halt(service.spec)
        try:
            yield
        finally:
            if ran:
                await self._keeping.go_on(service.spec)
            elif awake:
                task = asyncio.get_running_loop().create_task(self._control.command_wake(name, _WAKE_AGAIN))
                task.add_done_callback(lambda _: None)

    async def _end(self, name: str) -> None:
        """Raises InUse."""
        world = self._control.fleet.world
        service = world.services[name]
        if not resting.against_sleep(world, service):
            self._control.post(SleepAsked(name, "stopped"))
        else:
            # What is always on does not rest; to the fleet it ends, and its next start waits at the door.
            for replica in list(service.in_life(Life.READY)):
                await self._take_out(service.spec, replica.id)
                self._control.post(Exited(replica.id, "ended for the care of its data"))
        try:
            async with asyncio.timeout(_REST_PATIENCE):
                await self._control.settled(lambda: _at_rest(self._control, name))
        except TimeoutError:
            raise InUse(f"{name} does not come to rest") from None

    async def _take_out(self, spec: Service, replica: str) -> None:
        try:
            await self._mesh.drain(replica)
            await self._mesh.withdraw(replica)
        except (Busy, Superseded) as error:
            raise InUse(f"{spec.name} is in use: {error}") from error
        await self._driver.stop(spec, replica)


def _at_rest(control: Control, name: str) -> bool:
    """Nothing runs, or what is to run next waits at the door."""
    service = control.fleet.world.services.get(name)
    return service is None or all(replica.life is Life.STARTING for replica in service.replicas.values())


def written_by(spec: Service) -> str:
    """Image or package that its data are of."""
    package = spec.local.package if spec.local else None
    return spec.image or (package.requirement if package else "")


async def _pour(archive: AsyncIterator[bytes], ahead: asyncio.Queue[bytes | BaseException | None]) -> None:
    try:
        async for piece in archive:
            await ahead.put(piece)
    except Exception as error:
        await ahead.put(error)
        return
    await ahead.put(None)


def _pieces(ahead: asyncio.Queue[bytes | BaseException | None], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """For a thread: what is poured in the loop."""
    while (piece := asyncio.run_coroutine_threadsafe(ahead.get(), loop).result()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


async def _asynchronous(copy: copies.Copy) -> AsyncIterator[bytes]:
    pieces = copies.pieces(copy)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
