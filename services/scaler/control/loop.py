"""The loop: one event in, effects out, in order, on one thread. The only place that calls `Fleet.handle`.

`post` may be called from anywhere on the event loop, also from within an effect: events queue up and are taken one by
one, the first of them at once, so a demand meets a ready service without a turn of the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

from services.catalog.model import Service
from services.scaler.control import views
from services.scaler.control.clock import Clock
from services.scaler.control.doors import Doors
from services.scaler.control.executor import Executor
from services.scaler.control.journal import Journal
from services.scaler.control.story import Story
from services.scaler.core.effects import Decided, Refuse, Release
from services.scaler.core.events import Demand, DemandKind, DemandLeft, End, Event, Exited, Tick
from services.scaler.core.fleet import Fleet
from services.scaler.core.state import Life
from services.scaler.drivers.base import Driver
from services.scaler.mesh.base import HeldRequest, Mesh, ServiceView

log = logging.getLogger(__name__)


class Control:
    """Owns the fleet. Implements what the gate asks of the layer above (`mesh.base.Demands`)."""

    def __init__(self, fleet: Fleet, clock: Clock, journal: Journal) -> None:
        self.fleet = fleet
        self.clock = clock
        self.story = Story()
        self.doors = Doors()
        self.awake = asyncio.Event()
        """Set while any replica runs: there is something to read."""
        self._journal = journal
        self._inbox: deque[Event] = deque()
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._driver: Driver | None = None
        self._executor: Executor | None = None
        self._commands: dict[int, asyncio.Future[Release | Refuse]] = {}
        self._last_command = 0
        self._watchers: list[Callable[[], None]] = []

    def connect(self, driver: Driver, mesh: Mesh) -> None:
        """Give it hands. Comes before the first event."""
        self._driver = driver
        self._executor = Executor(driver, mesh, self.post, self.spec, self.doors)
        self._journal.begin(self.fleet.world)

    def watch(self, told: Callable[[], None]) -> None:
        """Have `told` called after every event, for good. It must be quick and raise nothing."""
        self._watchers.append(told)

    def spec(self, name: str) -> Service:
        service = self.fleet.world.services.get(name)
        return service.spec if service is not None else Service(name)

    def post(self, event: Event) -> None:
        """Take in an event; its effects have begun when this returns, unless an event is being handled already."""
        self._inbox.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._inbox:
                self._step(self._inbox.popleft())
        finally:
            self._handling = False
        self._set_timer()
        self._tell()

    async def command_wake(self, service: str, wait: float) -> Release | Refuse:
        """Wake for a command; returns how it ended, at the latest after `wait` seconds. Cancelling it leaves the wake
        going on."""
        self._last_command -= 1
        demand = self._last_command
        ended: asyncio.Future[Release | Refuse] = asyncio.get_running_loop().create_future()
        self._commands[demand] = ended
        try:
            self.post(Demand(demand, service, wait, DemandKind.COMMAND, self._port_of(service)))
            return await ended
        finally:
            if self._commands.pop(demand, None) is not None:
                self.post(DemandLeft(demand))

    async def settled(self, done: Callable[[], bool]) -> None:
        """Return when `done()` holds; asked again after every event."""
        waiter = asyncio.Event()
        self._watchers.append(waiter.set)
        try:
            while not done():
                waiter.clear()
                await waiter.wait()
        finally:
            self._watchers.remove(waiter.set)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._executor is not None:
            await self._executor.close()
        self._journal.close()

    # -- what the gate asks ------------------------------------------------------------------------------------------

    def demand(self, request: HeldRequest) -> None:
        self._notice_the_dead(request.service)
        self.post(Demand(request.id, request.service, request.hold, request.kind, request.port))

    def left(self, request_id: int) -> None:
        self.post(DemandLeft(request_id))

    def view(self, service: str) -> ServiceView | None:
        return views.service_view(self.fleet.world, service, self.clock.now())

    def views(self) -> Mapping[str, ServiceView]:
        now = self.clock.now()
        found = ((name, views.service_view(self.fleet.world, name, now)) for name in views.in_order(self.fleet.world))
        return {name: view for name, view in found if view is not None}

    # -- one step ----------------------------------------------------------------------------------------------------

    def _step(self, event: Event) -> None:
        now = self.clock.now()
        effects = self.fleet.handle(event, now)
        self._journal.record(event, now, self.fleet.world)
        assert self._executor is not None, "connect() comes first"
        for effect in effects:
            if isinstance(effect, Decided):
                log.info("%s: %s: %s", effect.service, effect.what, effect.reason)
                self.story.tell(now, effect.service, effect.what, effect.reason)
            elif isinstance(effect, Release | Refuse) and effect.demand < 0:
                ended = self._commands.pop(effect.demand, None)
                if ended is not None and not ended.done():
                    ended.set_result(effect)
            else:
                self._executor.perform(effect)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.fleet.next_deadline()
        if due is not None:
            delay = max(0.0, due - self.clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self.post, Tick())

    def _tell(self) -> None:
        if self.fleet.world.replica_of:
            self.awake.set()
        else:
            self.awake.clear()
        for watcher in self._watchers:
            watcher()

    def _notice_the_dead(self, name: str) -> None:
        """A request for a serving replica came to the gate: Envoy could not reach it, perhaps because it just died. Its
        exit may be a moment away; taken in first, the request waits for the repair instead of meeting a closed port."""
        service = self.fleet.world.services.get(name)
        assert self._driver is not None
        for replica in service.in_life(Life.READY, Life.DRAINING, Life.WITHDRAWING) if service else ():
            if not self._driver.alive(replica.id):
                end = End.BY_HAND if self._driver.ended_by_hand(replica.id) else End.CRASHED
                self.post(Exited(replica.id, "found dead when a request came for it", end))

    def _port_of(self, name: str) -> str:
        main = self.spec(name).main
        return main.name if main else "main"
