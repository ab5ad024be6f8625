"""From "somebody wants it" to "go on": the decision tree of a wake, its dependencies, its failures.

Level-triggered: `pursue` looks at the service as it is and does what is due next, so a demand that comes in any phase
of a start or of a rest joins what is under way. At most one start of a service is in flight.
"""

from __future__ import annotations

from services.catalog.model import Condition
from services.scaler.core.effects import Prepare, Publish, Refusal, Release, Resume, Stop
from services.scaler.core.events import DemandKind
from services.scaler.core.state import Life, Preparation, Replica, ServiceState, World

_QUEUE_PATIENCE = 30.0
"""Seconds a service keeps its place in the queue after the last one who asked has left: a reload is not a new turn."""


def look(world: World, service: ServiceState) -> None:
    """Bring one service a step towards what is wanted of it."""
    expire(world, service)
    if world.closing:
        return
    _keep_minimum(world, service)
    if service.pulling:
        _prepare(world, service)
    if service.demands or service.waking:
        pursue(world, service)


def expire(world: World, service: ServiceState) -> None:
    """Refuse those whose hold is over; the wake itself goes on."""
    for waiting in list(service.demands.values()):
        if waiting.deadline > world.now:
            world.schedule(waiting.deadline, service.name)
        elif service.no_room and waiting.kind is not DemandKind.PAGE:
            world.refuse(service, waiting, Refusal.NO_ROOM, service.no_room, 10.0)
        else:
            world.refuse(service, waiting, Refusal.WAITING, _what_it_waits_for(service), 2.0)


def pursue(world: World, service: ServiceState) -> None:
    # 1. It can't run here at all.
    if service.retired or service.unavailable:
        reason = service.unavailable or f"{service.name} is no longer in the catalogue"
        service.waking = service.forced = False
        world.refuse_all(service, Refusal.UNAVAILABLE, reason, 60.0)
        return
    # 2. It serves, or did a moment ago: nobody waits.
    if _recall(world, service):
        _ask_needs(world, service)
        release(world, service)
        return
    # 3. Something it can't do without has failed.
    blocked = _blocked(world, service)
    if blocked is not None:
        service.waking = service.forced = False
        world.refuse_all(service, blocked[0], blocked[1], blocked[2])
        world.touch(*service.dependents)
        return
    _ask_needs(world, service)
    # 4. On its way already: join.
    if service.in_life(Life.STARTING, Life.RESUMING, Life.PAUSING, Life.STOPPING, Life.WITHDRAWING):
        return
    # 5. Frozen: thaw it, or end it where its text has changed.
    paused = service.in_life(Life.PAUSED)
    if paused:
        _thaw(world, service, paused[0])
        return
    # 6. It failed a moment ago.
    if service.retry_at > world.now and not service.forced:
        service.waking = False
        world.schedule(service.retry_at, service.name)
        world.refuse_all(service, Refusal.BACKOFF, service.failure, service.retry_at - world.now)
        world.touch(*service.dependents)
        return
    # 7. What it consists of may be missing.
    if not _prepare(world, service):
        return
    # 8. Start, when what it depends on is there and there is room.
    if _needs_met(world, service):
        world.enqueue(service)


def release(world: World, service: ServiceState) -> None:
    """Let every held demand go on to the serving replicas, the one that was given fewest first."""
    service.waking = service.forced = False
    ready = service.in_life(Life.READY)
    for waiting in list(service.demands.values()):
        replica = min(ready, key=lambda one: one.released)
        replica.released += 1
        del service.demands[waiting.id]
        del world.demand_of[waiting.id]
        endpoint = replica.endpoints.get(waiting.port)
        if endpoint is None:
            reason = f"{service.name} has no port {waiting.port}"
            service.demands[waiting.id] = waiting
            world.demand_of[waiting.id] = service.name
            world.refuse(service, waiting, Refusal.UNAVAILABLE, reason, 60.0)
            continue
        service.released_at = world.now
        world.used(service, "a request")
        world.emit(Release(waiting.id, replica.id, endpoint))


def publish(world: World, service: ServiceState, replica: Replica, attempt: int | None = None) -> None:
    """The replica serves from now on."""
    replica.move(Life.READY, world.new_attempt() if attempt is None else attempt, world.now)
    world.emit(Publish(replica.id, service.name, replica.endpoints))
    world.touch(service.name, *service.dependents)


def fail(world: World, service: ServiceState, reason: str) -> None:
    """A preparation or start came to nothing: everybody who waits is told why, the next attempt is put off."""
    settings = world.settings
    service.failures += 1
    delay = min(settings.backoff_first * 2.0 ** min(service.failures - 1, 30), settings.backoff_most)
    service.retry_at, service.failure = world.now + delay, reason
    service.waking = service.forced = service.pulling = False
    world.leave_queue(service)
    world.decide(service.name, "failed", f"{reason} (next try in {delay:.0f} s)")
    world.refuse_all(service, Refusal.FAILED, reason, delay)
    world.schedule(service.retry_at, service.name)
    world.touch(service.name, *service.dependents)


def stop(world: World, service: ServiceState, replica: Replica, reason: str) -> None:
    replica.move(Life.STOPPING, world.new_attempt(), world.now)
    replica.reason = reason
    world.decide(service.name, "stop", reason)
    world.emit(Stop(replica.id, service.name, replica.attempt, reason))


def may_leave_queue(world: World, service: ServiceState) -> bool:
    """Whether nobody wants a queued start any more."""
    if service.demands or service.forced or len(service.replicas) < service.min_replicas:
        return False
    if service.in_life(Life.READY):
        return service.flow is None or service.flow.active <= service.spec.scaling.scale_up_threshold
    if service.pinned(world.now) or any(_wanted(world, name) for name in service.dependents):
        return False
    return world.now - service.demanded_at >= _QUEUE_PATIENCE


# -- steps of the tree -----------------------------------------------------------------------------------------------


def _keep_minimum(world: World, service: ServiceState) -> None:
    if len(service.replicas) >= service.min_replicas and not service.pinned(world.now):
        return
    if service.replicas and not service.in_life(Life.PAUSED):
        return
    if world.now >= service.retry_at:
        service.waking = True
    else:
        world.schedule(service.retry_at, service.name)


def _recall(world: World, service: ServiceState) -> bool:
    """Take back a rest that has not reached the freezer. True where a replica serves now."""
    for replica in service.in_life(Life.DRAINING, Life.WITHDRAWING):
        if not service.in_life(Life.READY):
            world.decide(service.name, "stay", "somebody asked for it while it went to rest")
            publish(world, service, replica)
    return bool(service.in_life(Life.READY))


def _blocked(world: World, service: ServiceState) -> tuple[Refusal, str, float] | None:
    """Why it can't start for now, because something it depends on can't, however far down."""
    for dependency in service.spec.depends_on:
        other = world.services.get(dependency.service)
        if other is None or not dependency.required or other.in_life(Life.READY):
            continue
        if other.unavailable:
            return Refusal.UNAVAILABLE, f"it needs {other.name}: {other.unavailable}", 60.0
        if other.failure and other.retry_at > world.now and not other.waking and not other.replicas:
            if service.forced:
                continue
            return Refusal.FAILED, f"it needs {other.name}, which failed: {other.failure}", other.retry_at - world.now
        deeper = _blocked(world, other)
        if deeper is not None:
            return deeper[0], f"it needs {other.name}: {deeper[1]}", deeper[2]
    return None


def _ask_needs(world: World, service: ServiceState) -> None:
    """Wake what the service depends on or uses; each of them does the same for its own."""
    for name in service.needs:
        other = world.services[name]
        if other.waking or other.unavailable or other.in_life(Life.READY):
            continue
        if (other.retry_at > world.now and not service.forced) or _blocked(world, other) is not None:
            continue
        other.waking = True
        other.forced = other.forced or service.forced
        other.demanded_at = world.now
        world.touch(name)


def _needs_met(world: World, service: ServiceState) -> bool:
    for dependency in service.spec.depends_on:
        other = world.services.get(dependency.service)
        if other is None or (not dependency.required and (other.unavailable or other.failure)):
            continue
        if dependency.condition is Condition.STARTED:
            met = any(replica.launched and replica.life is not Life.STOPPING for replica in other.replicas.values())
        else:
            met = bool(other.in_life(Life.READY))
        if not met:
            return False
    return True


def _thaw(world: World, service: ServiceState, replica: Replica) -> None:
    if replica.digest != service.spec.digest:
        stop(world, service, replica, "its catalogue entry has changed")
    elif _needs_met(world, service):
        replica.move(Life.RESUMING, world.new_attempt(), world.now)
        world.decide(service.name, "resume", "somebody asked for it")
        world.emit(Resume(replica.id, service.name, replica.attempt))


def _prepare(world: World, service: ServiceState) -> bool:
    """True where everything the service consists of is there."""
    match service.preparation:
        case Preparation.DONE:
            service.pulling = False
            return True
        case Preparation.RUNNING:
            return False
        case Preparation.UNKNOWN:
            service.preparation, service.prepare_attempt = Preparation.RUNNING, world.new_attempt()
            service.prepare_since = world.now
            world.emit(Prepare(service.name, service.prepare_attempt))
            return False


def _wanted(world: World, name: str) -> bool:
    service = world.services[name]
    return bool(service.demands) or service.waking or service.awake


def _what_it_waits_for(service: ServiceState) -> str:
    if service.preparation is Preparation.RUNNING:
        return f"{service.name} is being installed"
    if service.queued_at is not None:
        return f"{service.name} waits for its turn to start"
    return f"{service.name} is starting"
