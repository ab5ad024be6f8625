"""When nobody uses it: what counts as use, when a replica rests, and how it is taken out of service.

Nothing in use is ever stopped. A decision to rest is only a proposal: the mesh proves that the replica is quiet, and
any demand on the way there takes it back (see `waking`). No reading is no data: without a fresh one nothing rests.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.scaler.core import waking
from services.scaler.core.effects import Drain
from services.scaler.core.events import SleepAsked
from services.scaler.core.state import Life, Replica, ServiceState, World


def consider(world: World, service: ServiceState) -> None:
    """Rest what has been idle long enough; schedule a look at what has not."""
    if service.demands or service.waking or world.closing:
        return
    for replica in service.in_life(Life.PAUSED):
        _consider_paused(world, service, replica)
    ready = service.in_life(Life.READY)
    if not ready:
        return
    if use(world, service):
        if service.pinned_until is not None:
            world.schedule(service.pinned_until, service.name)
        _shrink(world, service, ready)
        return
    stale = service.retired or any(replica.digest != service.spec.digest for replica in ready)
    if len(ready) <= service.min_replicas and not stale:
        return
    due = service.last_use + (0.0 if service.retired else service.spec.scaling.idle_timeout)
    due = max(due, max(replica.drain_after for replica in ready))
    if world.now < due:
        world.schedule(due, service.name)
    elif quiet(world, service):
        idle = world.now - service.last_use
        to = "stopped" if stale else service.spec.scaling.rest.value
        for replica in ready:
            rest(world, service, replica, to, f"no use for {idle:.0f} s")


def use(world: World, service: ServiceState) -> list[str]:
    """What keeps it awake right now, for people; empty where nothing does. Past use is `last_use`."""
    reasons = []
    if service.pinned(world.now):
        reasons.append("pinned")
    if service.demands or service.waking:
        reasons.append("somebody waits for it")
    if service.flow is not None and service.flow.active > 0 and not _only_silent(service):
        reasons.append(f"{service.flow.active} requests in flight")
    reasons += [f"{name} is awake and needs it" for name in service.dependents if world.services[name].awake]
    return reasons


def quiet(world: World, service: ServiceState) -> bool:
    """A fresh reading, taken after the last request was let go on, shows nothing in flight."""
    if service.flow is None or world.now - service.flow_at > world.settings.flow_valid:
        return False
    return service.flow_at > service.released_at and (service.flow.active == 0 or _only_silent(service))


def rest(world: World, service: ServiceState, replica: Replica, to: str, reason: str) -> None:
    """Begin: READY → DRAINING. The rest of the way follows the outcomes."""
    replica.rest_to = "stopped" if replica.not_pausable else to
    replica.reason = reason
    replica.move(Life.DRAINING, world.new_attempt(), world.now)
    world.decide(service.name, "pause" if replica.rest_to == "paused" else "stop", reason)
    world.emit(Drain(replica.id, service.name, replica.attempt))


def sleep_asked(world: World, event: SleepAsked) -> None:
    service = world.services.get(event.service)
    if service is None:
        return
    reasons = use(world, service)
    if service.min_replicas:
        reasons.append("it is always on")
    if reasons:
        world.decide(service.name, "stay", f"asked to sleep, but {', '.join(reasons)}")
        return
    for replica in list(service.replicas.values()):
        if replica.life is Life.READY:
            rest(world, service, replica, event.to, "asked to sleep")
        elif replica.life is Life.PAUSED and event.to == "stopped":
            waking.stop(world, service, replica, "asked to sleep")
        elif replica.life in (Life.DRAINING, Life.WITHDRAWING, Life.PAUSING) and event.to == "stopped":
            replica.rest_to = "stopped"


def restart_asked(world: World, name: str) -> None:
    """An idle service ends and starts again; one in use stays, and says why; one asleep just wakes."""
    service = world.services.get(name)
    if service is None:
        return
    reasons = [reason for reason in use(world, service) if reason != "pinned"]
    if reasons and service.in_life(Life.READY):
        world.decide(name, "stay", f"asked to restart, but {', '.join(reasons)}")
        return
    service.forced = True
    if not service.replicas:
        service.waking = True
    service.restarting = bool(service.replicas)
    for replica in list(service.replicas.values()):
        if replica.life is Life.READY:
            rest(world, service, replica, "stopped", "asked to restart")
        elif replica.life is Life.PAUSED:
            waking.stop(world, service, replica, "asked to restart")
        else:
            replica.rest_to = "stopped"
    world.touch(name)


def may_yield(world: World, for_whom: str) -> Iterator[Replica]:
    """Replicas whose memory may be taken for somebody else now. Never one in use, kept at its minimum, or needed by
    the one that asks."""
    needed = set(world.services[for_whom].needs) if for_whom else set()
    for replica_id, name in world.replica_of.items():
        service = world.services[name]
        replica = service.replicas[replica_id]
        if name in needed or name == for_whom or service.min_replicas or use(world, service):
            continue
        if replica.life is Life.PAUSED or (replica.rest_to == "paused" and _on_the_way(replica)):
            yield replica
        elif replica.life is Life.READY and quiet(world, service):
            idle = world.now - service.last_use >= world.settings.victim_grace
            if idle and world.now >= replica.drain_after:
                yield replica


def yield_room(world: World, service: ServiceState, replica: Replica, reason: str) -> None:
    match replica.life:
        case Life.PAUSED:
            waking.stop(world, service, replica, reason)
        case Life.READY:
            rest(world, service, replica, "stopped", reason)
        case _:
            replica.rest_to, replica.reason = "stopped", reason


def _on_the_way(replica: Replica) -> bool:
    return replica.life in (Life.DRAINING, Life.WITHDRAWING, Life.PAUSING) and not replica.dead


def _consider_paused(world: World, service: ServiceState, replica: Replica) -> None:
    due = replica.since + service.spec.scaling.stop_after
    if service.retired or replica.digest != service.spec.digest:
        waking.stop(world, service, replica, "its catalogue entry has changed")
    elif world.now >= due:
        waking.stop(world, service, replica, f"paused for {world.now - replica.since:.0f} s")
    else:
        world.schedule(due, service.name)


def _shrink(world: World, service: ServiceState, ready: list[Replica]) -> None:
    """One replica fewer, where the rest would have carried the load for a whole idle time."""
    scaling = service.spec.scaling
    fewer = len(ready) - 1
    if fewer < max(1, service.min_replicas) or service.flow is None:
        return
    if service.flow.active > fewer * scaling.scale_up_threshold:
        service.low_since = None
        return
    if service.low_since is None:
        service.low_since = world.now
    due = max(service.low_since + scaling.idle_timeout, ready[-1].drain_after)
    if world.now < due:
        world.schedule(due, service.name)
        return
    service.low_since = None
    rest(world, service, ready[-1], scaling.rest.value, f"{fewer} replicas carry the load")


def _only_silent(service: ServiceState) -> bool:
    """All that is in flight has been silent for longer than the service says counts."""
    limit = service.spec.busy.websocket_idle
    return limit is not None and service.flow is not None and service.flow.silent >= limit
