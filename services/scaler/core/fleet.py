"""`effects = fleet.handle(event, now)`: the whole of the scaler's deciding, pure, synchronous, total.

One event changes the state, then every service it concerns is looked at until nothing more is due; what is to be done
comes out as effects, in the order they must begin. The control loop carries them out and brings their outcomes back as
events; replaying the events gives the state again. The simulator and the property tests drive this same class.
"""

from __future__ import annotations

from typing import assert_never

from services.catalog.model import Service
from services.scaler.core import admission, lifecycle, needing, resting, scaling, waking
from services.scaler.core.effects import Effect, Refusal, Refuse
from services.scaler.core.events import (
    Appeared,
    BudgetSet,
    CatalogLoaded,
    Deaf,
    Demand,
    DemandLeft,
    Drained,
    DrainRefused,
    Event,
    Exited,
    Measured,
    Meddled,
    Paused,
    PauseFailed,
    PinSet,
    Prepared,
    PrepareFailed,
    Progress,
    Pruned,
    PullAsked,
    Ready,
    RestartAsked,
    Restarted,
    Resumed,
    ResumeFailed,
    ShutdownAsked,
    SleepAsked,
    Started,
    StartFailed,
    Stopped,
    Tick,
    Traffic,
    Unpinned,
    Withdrawn,
)
from services.scaler.core.state import Life, Preparation, ServiceState, Settings, Waiting
from services.scaler.core.world import World

_LOOKS = 200_000
"""More looks than this in one step are a livelock: better an exception with a story than a silent spin."""


class Fleet:
    """All services of one hub and what is to be done about them. Not thread-safe: one writer."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.world = World(settings or Settings())

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take in one event at `now` (seconds; never goes back: an earlier one counts as the last one)."""
        world = self.world
        world.now = max(now, world.now)
        world.effects = []
        self._apply(event)
        world.touch(*world.due())
        self._settle()
        return world.effects

    def next_deadline(self) -> float | None:
        """When the next `Tick` is due; None while nothing waits for time."""
        return self.world.timers[0][0] if self.world.timers else None

    def _settle(self) -> None:
        world = self.world
        for _ in range(_LOOKS):
            if not world.dirty:
                admission.admit(world)
                if not world.dirty:
                    return
            name = next(iter(world.dirty))
            del world.dirty[name]
            service = world.services.get(name)
            if service is None:
                continue
            waking.look(world, service)
            scaling.grow(world, service)
            resting.consider(world, service)
        raise RuntimeError(f"the fleet does not settle: {list(world.dirty)[:5]}, effects {world.effects[-5:]}")

    def _apply(self, event: Event) -> None:  # one line an event
        world = self.world
        match event:
            case Tick():
                pass
            case Demand():
                self._demand(event)
            case DemandLeft():
                self._left(event)
            case Traffic():
                scaling.traffic(world, event)
            case Measured():
                scaling.measured(world, event)
            case Started():
                lifecycle.started(world, event)
            case Ready():
                lifecycle.ready(world, event)
            case StartFailed():
                lifecycle.start_failed(world, event)
            case Exited():
                lifecycle.exited(world, event)
            case Drained():
                lifecycle.drained(world, event)
            case DrainRefused():
                lifecycle.drain_refused(world, event)
            case Withdrawn():
                lifecycle.withdrawn(world, event)
            case Paused():
                lifecycle.paused(world, event)
            case PauseFailed():
                lifecycle.pause_failed(world, event)
            case Resumed():
                lifecycle.resumed(world, event)
            case ResumeFailed():
                lifecycle.resume_failed(world, event)
            case Stopped():
                lifecycle.stopped(world, event)
            case Progress():
                self._progress(event)
            case Prepared():
                lifecycle.prepared(world, event)
            case PrepareFailed():
                lifecycle.prepare_failed(world, event)
            case SleepAsked():
                resting.sleep_asked(world, event)
            case RestartAsked():
                resting.restart_asked(world, event.service)
            case PullAsked() | PinSet() | Unpinned() | Pruned():
                self._asked(event)
            case CatalogLoaded():
                self._catalog(event)
            case Restarted():
                self._restarted(event)
            case ShutdownAsked():
                self._shutdown()
            case Meddled():
                lifecycle.meddled(world, event)
            case Deaf():
                lifecycle.deafened(world, event)
            case Appeared():
                lifecycle.appeared(world, event.found)
            case BudgetSet():
                world.budget = dict(event.amounts)
            case _:
                assert_never(event)

    def _demand(self, event: Demand) -> None:
        world = self.world
        service = world.services.get(event.service)
        if service is None or service.retired:
            reason = f"{event.service} is not in the catalogue"
            world.emit(Refuse(event.id, Refusal.UNAVAILABLE, reason, 60.0))
            return
        if world.closing:
            world.emit(Refuse(event.id, Refusal.SHUTDOWN, "the hub is being shut down", 5.0))
            return
        service.demands[event.id] = Waiting(event.id, event.kind, event.port, world.now, world.now + event.hold)
        world.demand_of[event.id] = service.name
        service.waking, service.demanded_at = True, world.now
        service.forced = service.forced or event.kind.value == "command"
        world.touch(service.name)

    def _left(self, event: DemandLeft) -> None:
        """The caller is gone; what was begun for it goes on."""
        name = self.world.demand_of.pop(event.id, None)
        if name is not None:
            del self.world.services[name].demands[event.id]
            self.world.touch(name)

    def _progress(self, event: Progress) -> None:
        service = self.world.services.get(event.service)
        if service is not None and service.preparation is Preparation.RUNNING:
            service.progress = event

    def _asked(self, event: PullAsked | PinSet | Unpinned | Pruned) -> None:
        service = self.world.services.get(event.service)
        if service is None or service.retired:
            return
        match event:
            case PullAsked():
                service.pulling = not service.unavailable
            case Pruned():
                if service.preparation is Preparation.DONE:
                    service.preparation = Preparation.UNKNOWN
            case PinSet():
                service.pinned_until = float("inf") if event.until is None else event.until
                service.waking = service.forced = True
                service.demanded_at = self.world.now
            case Unpinned():
                service.pinned_until = None
                self.world.used(service, "it was pinned")
        self.world.touch(service.name)

    def _shutdown(self) -> None:
        world = self.world
        world.closing = True
        for service in list(world.services.values()):
            world.leave_queue(service)
            service.waking = service.pulling = service.restarting = False
            world.refuse_all(service, Refusal.SHUTDOWN, "the hub is being shut down", 5.0)
            for replica in list(service.replicas.values()):
                if replica.life is not Life.STOPPING:
                    waking.stop(world, service, replica, "the hub is being shut down")

    def _restarted(self, event: Restarted) -> None:
        """What is remembered of the past stays: sizes, start times, pins, failures, and what somebody else has ended,
        unless the hub was ended in order since. What runs is what was found."""
        if self.world.closing:
            for service in self.world.services.values():
                service.put_down = service.finished = service.left = False
        self._clear()
        self.world.budget = dict(event.budget)
        self._catalog(CatalogLoaded(event.catalog, event.unavailable))
        for found in event.found:
            lifecycle.adopted(self.world, found)

    def _clear(self) -> None:
        world = self.world
        world.closing = False
        world.demand_of.clear()
        world.forget_replicas()
        world.queue.clear()
        for service in list(world.services.values()):
            service.demands.clear()
            service.waking = service.pulling = service.forced = service.restarting = service.interrupted = False
            service.preparation, service.progress = Preparation.UNKNOWN, None
            service.queued_at, service.no_room, service.flow = None, "", None
            service.flow_at = service.released_at = float("-inf")
            if service.retired:
                del world.services[service.name]

    def _catalog(self, event: CatalogLoaded) -> None:
        """Take in a catalogue. Running replicas stay; what has changed is replaced at its next rest or wake."""
        world = self.world
        world.catalog = event.catalog
        for name, spec in event.catalog.services.items():
            service = world.services.get(name)
            if service is None:
                # More attempts were made than replicas, so one that returns gives no id a second time.
                service = world.services[name] = ServiceState(spec, next_ordinal=world.attempts + 1)
            else:
                _replace(service, spec)
            service.retired = False
            service.unavailable = event.unavailable.get(name, "")
        for name, service in list(world.services.items()):
            if name not in event.catalog.services:
                _retire(world, service)
        needing.connect(world)
        world.touch(*world.services)


def _replace(service: ServiceState, spec: Service) -> None:
    if service.spec.digest != spec.digest:
        service.failures, service.failure, service.retry_at = 0, "", 0.0
        service.prepare_attempt = 0
        service.preparation, service.progress = Preparation.UNKNOWN, None
        service.finished = service.left = False
    service.spec = spec
    service.retry_at = 0.0  # somebody has changed the files: what failed by a fault in them may do now
    service.put_down = service.put_down and not spec.lazy
    service.left = service.left and not spec.lazy
    service.finished = service.finished and spec.may_finish


def _retire(world: World, service: ServiceState) -> None:
    service.retired = True
    service.waking = service.pulling = service.forced = service.restarting = False
    service.put_down = service.finished = service.left = False
    world.leave_queue(service)
    world.refuse_all(service, Refusal.UNAVAILABLE, f"{service.name} is no longer in the catalogue", 60.0)
    if not service.replicas:
        del world.services[service.name]
