"""From "somebody wants it" to "go on": the decision tree of a wake and its failures.

Level-triggered: `pursue` looks at the service as it is and does what is due next, so a demand that comes in any phase
of a start or of a rest joins what is under way. At most one start of a service is in flight.
"""

from __future__ import annotations

from services.scaler.core import needing
from services.scaler.core.effects import Prepare, Publish, Refusal, Release, Resume, Stop
from services.scaler.core.events import DemandKind
from services.scaler.core.state import Life, Preparation, Replica, ServiceState
from services.scaler.core.world import World

LEFT = "left so until somebody asks for it"
"""Of what is always on by its entry, and yet not begun again by itself."""


def look(world: World, service: ServiceState) -> None:
    """Bring one service a step towards what is wanted of it."""
    if not world.closing:
        _keep(world, service)
        if service.pulling and not service.unavailable:
            prepare(world, service)
        if service.demands or service.waking:
            pursue(world, service)
    expire(world, service)


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
        end_wake(world, service)
        world.refuse_all(service, Refusal.UNAVAILABLE, reason, 60.0)
        return
    # 2. It serves, or did a moment ago: nobody waits.
    if _recall(world, service):
        needing.ask(world, service)
        release(world, service)
        return
    # 3. Something it can't do without has failed.
    blocked = needing.blocked(world, service, forced=service.forced)
    if blocked is not None:
        refusal, reason, until = blocked
        _put_off(world, service, refusal, reason, until)
        return
    needing.ask(world, service)
    # 4. On its way already: join.
    if service.in_life(Life.STARTING, Life.RESUMING, Life.PAUSING, Life.WITHDRAWING):
        return
    # 5. Frozen: thaw it, or end it where its text has changed.
    if service.in_life(Life.PAUSED):
        thaw(world, service)
        return
    # 6. Its data belongs to the old program until that has gone (one that drains here is deaf).
    if service.in_life(Life.STOPPING, Life.DRAINING):
        return
    # 7. It failed a moment ago.
    if service.retry_at > world.now and not service.forced:
        _put_off(world, service, Refusal.BACKOFF, service.failure, service.retry_at)
        return
    # 8. What it consists of may be missing, or what it depends on; then it starts when there is room.
    if prepare(world, service) and needing.met(world, service):
        world.enqueue(service)
        if world.now < service.demanded_at + needing.PATIENCE:
            world.schedule(service.demanded_at + needing.PATIENCE, service.name)
    else:
        world.leave_queue(service)


def release(world: World, service: ServiceState) -> None:
    """Let every held demand go on to the serving replicas, the one that was given fewest first."""
    service.waking = service.forced = False
    ready = service.in_life(Life.READY)
    for waiting in list(service.demands.values()):
        replica = min(ready, key=lambda one: one.released)
        endpoint = replica.endpoints.get(waiting.port)
        if endpoint is None and waiting.kind is not DemandKind.COMMAND:
            world.refuse(service, waiting, Refusal.UNAVAILABLE, f"{service.name} has no port {waiting.port}", 60.0)
            continue
        del service.demands[waiting.id]
        del world.demand_of[waiting.id]
        replica.released += 1
        service.released_at = world.now
        world.used(service, "a request")
        world.emit(Release(waiting.id, replica.id, endpoint or ""))


def publish(world: World, service: ServiceState, replica: Replica) -> None:
    """The replica serves from now on."""
    replica.move(Life.READY, world.new_attempt(), world.now)
    replica.unproven = False
    service.released_at = world.now
    world.emit(Publish(replica.id, service.name, replica.endpoints))
    world.touch(service.name, *service.dependents)


def fail(world: World, service: ServiceState, reason: str, refusal: Refusal = Refusal.FAILED) -> None:
    """A preparation or start came to nothing: everybody who waits is told why, the next attempt is put off."""
    settings = world.settings
    service.failures += 1
    service.interrupted = False
    delay = min(settings.backoff_first * 2.0 ** min(service.failures - 1, 30), settings.backoff_most)
    service.retry_at, service.failure = world.now + delay, reason
    service.pulling = False
    for one in needing.waiting_for(world, service):
        one.forced = False  # a command overrides the failures before it, not this one
    when = LEFT if service.at_rest else f"next try in {delay:.0f} s"
    world.decide(service.name, "failed", f"{reason} ({when})")
    _put_off(world, service, refusal, reason, service.retry_at)
    world.touch(service.name)


def stop(world: World, service: ServiceState, replica: Replica, reason: str) -> None:
    replica.move(Life.STOPPING, world.new_attempt(), world.now)
    replica.reason = reason
    world.decide(service.name, "stop", reason)
    world.emit(Stop(replica.id, service.name, replica.attempt, reason))


def may_leave_queue(world: World, service: ServiceState) -> bool:
    """Whether nobody wants a queued start any more."""
    ready = service.in_life(Life.READY)
    if ready:
        enough = service.flow is None or service.flow.active <= service.spec.scaling.scale_up_threshold * len(ready)
        return enough and len(service.replicas) >= service.min_replicas
    return not needing.insisted(world, service)


def give_up(world: World, service: ServiceState) -> None:
    """End a wake that waits for room and that nobody wants any more, with those of dependents that wait for it."""
    if service.in_life(Life.READY):
        world.leave_queue(service)
        return
    world.decide(service.name, "give up", "nobody waits for it any more")
    for one in list(needing.waiting_for(world, service)):
        end_wake(world, one)
        world.touch(*one.needs)


def thaw(world: World, service: ServiceState) -> None:
    """Bring one frozen replica back, when what it depends on is there; end one whose text has changed."""
    paused = service.in_life(Life.PAUSED)
    replica = next((one for one in paused if one.digest == service.spec.digest), paused[0])
    if replica.digest != service.spec.digest and not replica.unproven:
        stop(world, service, replica, "its catalogue entry has changed")
    elif needing.met(world, service):
        resume(world, service, replica, "somebody asked for it")


def resume(world: World, service: ServiceState, replica: Replica, reason: str) -> None:
    service.restarting = False
    replica.move(Life.RESUMING, world.new_attempt(), world.now)
    world.decide(service.name, "resume", reason)
    world.emit(Resume(replica.id, service.name, replica.attempt))
    world.touch(*service.needs)  # from now on they have to be up


def prepare(world: World, service: ServiceState) -> bool:
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


# -- steps of the tree -----------------------------------------------------------------------------------------------


def _keep(world: World, service: ServiceState) -> None:
    """What has to be up although nobody asks is woken when it is down, failures and back-off allowing."""
    if service.waking or any(one.life is not Life.PAUSED for one in service.replicas.values()):
        return
    if not needing.kept(world, service):
        return
    blocked = needing.blocked(world, service)
    at = service.retry_at if blocked is None else blocked[2]
    if world.now >= at:
        service.waking = True
    else:
        world.schedule(at, service.name)


def _recall(world: World, service: ServiceState) -> bool:
    """Take back a rest that has not reached the freezer. True where a replica serves now."""
    for replica in service.in_life(Life.DRAINING, Life.WITHDRAWING):
        if not replica.deaf and not service.in_life(Life.READY):
            world.decide(service.name, "stay", "somebody asked for it while it went to rest")
            service.restarting = False
            publish(world, service, replica)
    return bool(service.in_life(Life.READY))


def _put_off(world: World, service: ServiceState, refusal: Refusal, reason: str, until: float) -> None:
    """This wake ends without a start; what has to be up is looked at again in time."""
    end_wake(world, service)
    world.refuse_all(service, refusal, reason, until - world.now)
    world.schedule(until, service.name)
    world.touch(*service.needs, *service.dependents)


def end_wake(world: World, service: ServiceState) -> None:
    """Nobody wants it up any more, as far as is known; who still does asks again when it is looked at."""
    service.waking = service.forced = False
    world.leave_queue(service)


def _what_it_waits_for(service: ServiceState) -> str:
    if service.preparation is Preparation.RUNNING:
        return f"{service.name} is being installed"
    if service.queued_at is not None:
        return f"{service.name} waits for its turn to start"
    if any(replica.deaf for replica in service.replicas.values()):
        return f"{service.name} starts anew once the requests are over that its old program still has"
    return f"{service.name} is starting"
