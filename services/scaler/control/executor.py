"""Carries effects out, each in a task of its own, and posts the event that answers it. Decides nothing.

An effect whose verb fails in a way its contract does not name is answered by the matching failure, with the story in
the log: the fleet always gets its outcome. Effects of one replica come one after another because the fleet waits for
outcomes; only `Publish` may overtake a drain or withdrawal, and the mesh makes that one give way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, assert_never

from services.catalog.model import Service
from services.scaler.control.doors import Doors
from services.scaler.core.effects import (
    Decided,
    Drain,
    Effect,
    Measure,
    Pause,
    Prepare,
    Publish,
    Refuse,
    Release,
    Resume,
    Start,
    Stop,
    Watch,
    Withdraw,
)
from services.scaler.core.events import (
    Drained,
    DrainRefused,
    End,
    Event,
    Exited,
    Paused,
    PauseFailed,
    Prepared,
    PrepareFailed,
    Progress,
    Ready,
    ReplicaId,
    Resumed,
    ResumeFailed,
    Started,
    StartFailed,
    Stopped,
    Withdrawn,
)
from services.scaler.drivers.base import Driver, DriverError, Finished, Interrupted, Left, NotOurs
from services.scaler.mesh.base import Busy, Mesh, Superseded

log = logging.getLogger(__name__)

Post = Callable[[Event], None]

_STOP_AGAIN = (0.1, 0.5, 2.0, 5.0, 10.0)
"""Seconds until a hindered stop is tried again."""


class Executor:
    """`spec_of` gives the catalogue entry an effect is about, as it is when the effect begins. `doors`: what starts or
    thaws has to pass them."""

    def __init__(
        self, driver: Driver, mesh: Mesh, post: Post, spec_of: Callable[[str], Service], doors: Doors | None = None
    ) -> None:
        self._driver = driver
        self._mesh = mesh
        self._post = post
        self._spec_of = spec_of
        self._doors = doors or Doors()
        self._tasks: set[asyncio.Task[None]] = set()

    def perform(self, effect: Effect) -> None:
        """Begin one effect. Those without an outcome are done when this returns."""
        match effect:
            case Publish():
                self._mesh.publish(effect.replica, effect.service, effect.endpoints)
            case Release():
                self._mesh.release(effect.demand, effect.replica, effect.endpoint)
            case Refuse():
                self._mesh.refuse(effect)
            case Prepare():
                self._begin(self._prepare(effect))
            case Start():
                self._begin(self._start(effect))
            case Watch():
                self._begin(self._watch(effect))
            case Measure():
                self._begin(self._measure(effect))
            case Drain():
                self._begin(self._drain(effect))
            case Withdraw():
                self._begin(self._withdraw(effect))
            case Pause():
                self._begin(self._pause(effect))
            case Resume():
                self._begin(self._resume(effect))
            case Stop():
                self._begin(self._stop(effect))
            case Decided():
                pass
            case _:
                assert_never(effect)

    async def close(self) -> None:
        """Cancel what is under way and wait for it."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, verb: Awaitable[Event | None], failed: Callable[[str], Event]) -> None:
        """Post the verb's outcome; `failed` makes one from the reason where it raises."""
        try:
            outcome = await verb
        except Superseded:
            return
        except (DriverError, Busy) as error:
            outcome = failed(str(error))
        except Exception as error:
            log.exception("an effect broke; it counts as failed")
            outcome = failed(f"internal fault: {type(error).__name__}: {error}")
        if outcome is not None:
            self._post(outcome)

    async def _prepare(self, effect: Prepare) -> None:
        spec = self._spec_of(effect.service)

        def report(phase: str, fraction: float | None, detail: str) -> None:
            self._post(Progress(effect.service, phase, fraction, detail))

        async def verb() -> Event:
            try:
                await self._driver.prepare(spec, report)
            except NotOurs as error:
                return PrepareFailed(effect.service, effect.attempt, str(error), not_ours=True)
            return Prepared(effect.service, effect.attempt)

        await self._answer(verb(), lambda why: PrepareFailed(effect.service, effect.attempt, why))

    async def _start(self, effect: Start) -> None:
        spec = self._spec_of(effect.service)

        async def verb() -> Event:
            await self._doors.passed(effect.service)
            running = await self._driver.start(spec, effect.replica)
            self._post(Started(effect.replica, effect.attempt, running.endpoints, running.pid))
            return await self._become_ready(spec, effect)

        await self._answer(verb(), lambda why: StartFailed(effect.replica, effect.attempt, why))

    async def _watch(self, effect: Watch) -> None:
        spec = self._spec_of(effect.service)

        verb = self._become_ready(spec, effect)
        await self._answer(verb, lambda why: StartFailed(effect.replica, effect.attempt, why))

    async def _become_ready(self, spec: Service, effect: Start | Watch) -> Event:
        try:
            await self._driver.ready(spec, effect.replica)
        except Interrupted as error:
            return StartFailed(effect.replica, effect.attempt, str(error), End.BY_HAND)
        except Left as error:
            return StartFailed(effect.replica, effect.attempt, str(error), End.LEFT)
        except Finished as error:
            self._post(Exited(effect.replica, str(error), End.FINISHED))
        return Ready(effect.replica, effect.attempt)

    async def _measure(self, effect: Measure) -> None:
        try:
            for reading in await self._driver.measure([effect.replica]):
                self._post(reading)
        except Exception:
            log.exception("measuring %s broke; it is read again with all the others", effect.replica)

    async def _drain(self, effect: Drain) -> None:
        async def verb() -> Event:
            await self._mesh.drain(effect.replica, despite_silent=effect.despite_silent)
            return Drained(effect.replica, effect.attempt)

        await self._answer(verb(), lambda why: DrainRefused(effect.replica, effect.attempt, why))

    async def _withdraw(self, effect: Withdraw) -> None:
        async def verb() -> Event | None:
            moved = await self._mesh.withdraw(effect.replica, urgent=effect.urgent)
            return None if effect.urgent else Withdrawn(effect.replica, effect.attempt, moved)

        # A withdrawal that could not be proven counts as one that a request slipped through.
        await self._answer(verb(), lambda why: Withdrawn(effect.replica, effect.attempt, moved=True))

    async def _pause(self, effect: Pause) -> None:
        spec = self._spec_of(effect.service)

        async def verb() -> Event:
            await self._driver.pause(spec, effect.replica)
            return Paused(effect.replica, effect.attempt, await self._mesh.moved(effect.replica))

        await self._answer(verb(), lambda why: PauseFailed(effect.replica, effect.attempt, why))

    async def _resume(self, effect: Resume) -> None:
        spec = self._spec_of(effect.service)

        async def verb() -> Event:
            await self._doors.passed(effect.service)
            await self._driver.resume(spec, effect.replica)
            return Resumed(effect.replica, effect.attempt)

        await self._answer(verb(), lambda why: ResumeFailed(effect.replica, effect.attempt, why))

    async def _see_stopped(self, spec: Service, replica: ReplicaId) -> str:
        """A stop that the system hinders (no descriptor, no memory) is tried again: what is told as stopped while it
        lives would get a second copy beside it."""
        for delay in _STOP_AGAIN:
            try:
                return await self._driver.stop(spec, replica)
            except OSError as error:
                log.warning("stopping %s: %s; trying again in %g s", replica, error, delay)
                await asyncio.sleep(delay)
        return await self._driver.stop(spec, replica)

    async def _stop(self, effect: Stop) -> None:
        spec = self._spec_of(effect.service)

        async def verb() -> Event:
            # An endpoint of a replica that failed or was frozen by somebody else may still be published.
            await self._mesh.withdraw(effect.replica, urgent=True)
            detail = await self._see_stopped(spec, effect.replica)
            self._mesh.forget(effect.replica)
            return Stopped(effect.replica, effect.attempt, detail)

        await self._answer(verb(), lambda why: Stopped(effect.replica, effect.attempt, why))
