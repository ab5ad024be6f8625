"""What readings mean: use, size, and the number of replicas. A reading that is absent changes nothing."""

from __future__ import annotations

from services.scaler.core.events import Measured, Traffic
from services.scaler.core.state import Life, ServiceState, World


def traffic(world: World, event: Traffic) -> None:
    for name, flow in event.flows.items():
        service = world.services.get(name)
        if service is None:
            continue
        before, service.flow, service.flow_at = service.flow, flow, world.now
        if flow.active > 0:
            limit = service.spec.busy.websocket_idle
            if limit is None or flow.silent < limit:
                world.used(service, f"{flow.active} requests in flight")
        if before is not None and flow.total != before.total:
            world.used(service, "requests")
        if service.in_life(Life.READY):
            world.touch(name)


def measured(world: World, event: Measured) -> None:
    found = world.replica(event.replica)
    if found is None:
        return
    service, replica = found
    replica.memory = event.memory
    if replica.ready_at is not None:
        replica.peak = max(replica.peak, event.memory)
        service.size = max(service.size or 0, replica.peak)
    if replica.ready_at is not None and world.now - replica.ready_at >= world.settings.settle_time:
        replica.charge = int(event.memory * (1 + world.settings.headroom))
    else:
        replica.charge = max(replica.charge, event.memory)
    limit = service.spec.busy.cpu
    if limit > 0 and event.cpu > limit:
        world.used(service, f"CPU at {event.cpu:.0%} of a core over the last minute")
    if event.busy:
        world.used(service, "its busy probe says so")
    world.touch(service.name)


def grow(world: World, service: ServiceState) -> None:
    """One replica more, where those that serve have more in flight than the catalogue wants."""
    scaling = service.spec.scaling
    ready = service.in_life(Life.READY)
    if not ready or not scaling.scale_up_threshold or service.flow is None or service.retired:
        return
    if len(service.replicas) >= scaling.max_replicas or service.retry_at > world.now:
        return
    if world.now - service.flow_at > world.settings.flow_valid:
        return
    if service.flow.active > scaling.scale_up_threshold * len(ready) and not service.in_life(Life.STARTING):
        world.enqueue(service)
