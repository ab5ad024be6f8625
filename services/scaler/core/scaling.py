"""What readings mean: use, size, and the number of replicas. A reading that is absent changes nothing."""

from __future__ import annotations

from services.scaler.core import waking
from services.scaler.core.events import Measured, Traffic
from services.scaler.core.state import Life, ServiceState
from services.scaler.core.world import World


def traffic(world: World, event: Traffic) -> None:
    for name, flow in event.flows.items():
        service = world.services.get(name)
        if service is None:
            continue
        before, service.flow, service.flow_at = service.flow, flow, world.now
        if flow.active > 0 and not service.only_silent:
            world.used(service, f"{flow.active} requests in flight")
        if before is not None and flow.total != before.total:
            world.used(service, "requests")
        for replica in service.replicas.values():
            if replica.unproven and flow.active > 0 and (replica.adopted or not service.only_silent):
                # An earlier life froze it a moment too soon, or a request got in as somebody else did.
                service.waking = True
            if replica.unproven or replica.life is Life.READY:
                world.touch(name)


def measured(world: World, event: Measured) -> None:
    found = world.replica(event.replica)
    if found is None:
        return
    service, replica = found
    settings = world.settings
    replica.memory, replica.measured_at = event.memory, world.now
    if replica.ready_at is not None:
        replica.peak = max(replica.peak, event.memory)
        service.size = max(service.size or 0, replica.peak)
    if replica.ready_at is not None and world.now >= replica.ready_at + settings.settle_time:
        world.charge(replica, int(event.memory * (1 + settings.headroom)))
    else:
        world.charge(replica, max(replica.charge, event.memory))
    limit = service.spec.busy.cpu
    replica.busy = ""
    if limit > 0 and event.cpu > limit:
        replica.busy = f"CPU at {event.cpu:.0%} of a core over the last minute"
    elif event.busy:
        replica.busy = "its busy probe says so"
    elif event.callers:
        replica.busy = f"connections to its container past the gateway ({event.callers})"
    if replica.busy:
        world.used(service, replica.busy)
    elif event.lately > limit > 0 and replica.life is Life.READY and world.now >= service.rest_due:
        # Only where it would rest now: of one that is due much later a little work at a time says nothing.
        world.used(service, f"CPU at {event.lately:.0%} of a core until a moment ago")
        replica.drain_after = world.now + settings.drain_retry
    world.touch(service.name)


def grow(world: World, service: ServiceState) -> None:
    """One replica more, where those that serve have more in flight than the catalogue wants, or are fewer than it
    wants. A frozen one is thawed rather than a new one started."""
    if service.retired or service.unavailable or world.closing or service.retry_at > world.now:
        return
    if not service.in_life(Life.READY) or service.in_life(Life.STARTING, Life.RESUMING):
        return
    if not (_crowded(world, service) or len(service.in_life(Life.READY)) < service.min_replicas):
        return
    paused = len(service.in_life(Life.PAUSED))
    if paused and len(service.replicas) - paused < service.max_replicas:
        waking.thaw(world, service)
    elif len(service.replicas) < service.max_replicas and waking.prepare(world, service):
        world.enqueue(service)


def _crowded(world: World, service: ServiceState) -> bool:
    """By a reading that was taken since the last replica began to serve, so each reading calls for one at most."""
    ready = service.in_life(Life.READY)
    if service.flow is None or not world.fresh(service) or service.flow_at <= max(one.since for one in ready):
        return False
    threshold = service.spec.scaling.scale_up_threshold
    return threshold > 0 and service.flow.active > threshold * len(ready)
