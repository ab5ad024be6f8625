"""When nobody uses it: what counts as use, when a replica rests, and how it is taken out of service.

Nothing in use is ever stopped. A decision to rest is only a proposal: the mesh proves that the replica is quiet, and
any demand on the way there takes it back (see `waking`). No reading is no data: without a fresh one nothing rests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from services.scaler.core import needing, waking
from services.scaler.core.effects import Drain, Measure
from services.scaler.core.events import SleepAsked
from services.scaler.core.state import Life, Replica, ServiceState
from services.scaler.core.world import World


def consider(world: World, service: ServiceState) -> None:
    """Rest what has been idle long enough; schedule a look at what has not."""
    for replica in service.in_life(Life.DRAINING):
        if replica.deaf and replica.drain_after and not world.closing:
            _drain_again(world, service, replica)
    if service.demands or service.waking or world.closing:
        return
    for replica in service.in_life(Life.PAUSED):
        _consider_paused(world, service, replica)
    ready = service.in_life(Life.READY)
    if not ready:
        return
    if service.retired:
        _consider_retired(world, service, ready)
    elif use(world, service):
        if service.pinned(world.now) and service.pinned_until is not None:
            world.schedule(service.pinned_until, service.name)
        _shrink(world, service, ready)
    else:
        _consider_idle(world, service, ready)


def use(world: World, service: ServiceState) -> list[str]:
    """What keeps it awake right now, for people; empty where nothing does. Past use is `last_use`."""
    reasons = []
    if service.pinned(world.now):
        reasons.append("pinned")
    if service.demands or service.waking:
        reasons.append("somebody waits for it")
    if service.flow is not None and service.flow.active > 0 and not service.only_silent:
        reasons.append(f"{service.flow.active} requests in flight")
    reasons += dict.fromkeys(replica.busy for replica in service.in_life(Life.READY) if replica.busy)
    for name in service.dependents:
        other = world.services[name]
        if needing.wanted(other):
            reasons.append(f"{name} {'is awake' if other.awake else 'is about to start'} and needs it")
    return reasons


def rest(world: World, service: ServiceState, replica: Replica, to: str, reason: str) -> None:
    """Begin: READY → DRAINING. The rest of the way follows the outcomes."""
    replica.rest_to = "stopped" if replica.not_pausable else to
    replica.reason = reason
    world.decide(service.name, "pause" if replica.rest_to == "paused" else "stop", reason)
    _drain(world, service, replica)


def _drain(world: World, service: ServiceState, replica: Replica) -> None:
    replica.drain_after = 0.0
    replica.move(Life.DRAINING, world.new_attempt(), world.now)
    silent = world.fresh(service) and service.flow is not None and service.flow.active > 0 and service.only_silent
    world.emit(Drain(replica.id, service.name, replica.attempt, despite_silent=silent))


def _drain_again(world: World, service: ServiceState, replica: Replica) -> None:
    """What is deaf is not published again because a drain was refused: its requests are waited for."""
    if world.now < replica.drain_after:
        world.schedule(replica.drain_after, service.name)
    else:
        _drain(world, service, replica)


def against_sleep(world: World, service: ServiceState) -> list[str]:
    """Why it is not put to sleep by a command now; empty where nothing speaks against it."""
    return [*use(world, service), *(["it is always on"] if service.min_replicas else [])]


def against_restart(world: World, service: ServiceState) -> list[str]:
    """Why it is not restarted by a command now; empty where nothing speaks against it."""
    if not service.in_life(Life.READY):
        return []
    return [reason for reason in use(world, service) if reason != "pinned"]


def sleep_asked(world: World, event: SleepAsked) -> None:
    service = world.services.get(event.service)
    if service is None:
        return
    reasons = against_sleep(world, service)
    if reasons:
        world.decide(service.name, "stay", f"asked to sleep, but {', '.join(reasons)}")
        return
    for replica in list(service.replicas.values()):
        if replica.life is Life.READY:
            rest(world, service, replica, event.to, "asked to sleep")
        elif replica.life is Life.PAUSED and event.to == "stopped":
            _end_frozen(world, service, replica, "asked to sleep")
        elif replica.life in (Life.DRAINING, Life.WITHDRAWING, Life.PAUSING) and event.to == "stopped":
            replica.rest_to = "stopped"


def restart_asked(world: World, name: str) -> None:
    """An idle service ends and starts again; one in use stays, and says why; one asleep just wakes."""
    service = world.services.get(name)
    if service is None or service.retired:
        return
    reasons = against_restart(world, service)
    if reasons:
        world.decide(name, "stay", f"asked to restart, but {', '.join(reasons)}")
        return
    if not service.replicas:
        service.waking = service.forced = True
        service.demanded_at = world.now
    for replica in list(service.replicas.values()):
        if _ends_for_restart(world, service, replica):
            service.restarting = service.forced = True
    world.touch(name)


def _ends_for_restart(world: World, service: ServiceState, replica: Replica) -> bool:
    match replica.life:
        case Life.READY:
            rest(world, service, replica, "stopped", "asked to restart")
        case Life.PAUSED:
            return _end_frozen(world, service, replica, "asked to restart")
        case Life.DRAINING | Life.WITHDRAWING | Life.PAUSING:
            replica.rest_to = "stopped"
        case Life.STARTING | Life.RESUMING:
            world.decide(service.name, "stay", "asked to restart, but it is about to be up anyway")
            return False
        case Life.STOPPING:
            pass
        case _:
            assert_never(replica.life)
    return True


def _end_frozen(world: World, service: ServiceState, replica: Replica, reason: str) -> bool:
    """Stop it, unless a request may be frozen with it."""
    if replica.unproven and not world.quiet(service):
        world.decide(service.name, "stay", f"{reason}, but a request may be in flight, for somebody else froze it")
        return False
    waking.stop(world, service, replica, reason)
    return True


def may_yield(world: World, for_whom: str) -> Iterator[Replica]:
    """Replicas whose memory may be taken for somebody else now. Never one in use, kept at its minimum, or needed by
    the one that asks."""
    needed = set(world.services[for_whom].needs) if for_whom else set()
    for replica_id, name in world.replica_of.items():
        service = world.services[name]
        replica = service.replicas[replica_id]
        if name in needed or name == for_whom or service.min_replicas or use(world, service):
            continue
        if _may_go(world, service, replica):
            yield replica


def _may_go(world: World, service: ServiceState, replica: Replica) -> bool:
    match replica.life:
        case Life.PAUSED:
            return world.quiet(service) or not replica.unproven
        case Life.READY:
            idle = world.now >= service.last_use + world.settings.victim_grace
            return idle and world.now >= replica.drain_after and world.quiet(service)
        case Life.DRAINING | Life.WITHDRAWING | Life.PAUSING:
            return replica.rest_to == "paused"
        case _:
            return False


def yield_room(world: World, service: ServiceState, replica: Replica, reason: str) -> None:
    match replica.life:
        case Life.PAUSED:
            waking.stop(world, service, replica, reason)
        case Life.READY:
            rest(world, service, replica, "stopped", reason)
        case _:
            replica.rest_to, replica.reason = "stopped", reason


def _consider_paused(world: World, service: ServiceState, replica: Replica) -> None:
    due = replica.since + service.spec.scaling.stop_after
    if replica.unproven and not service.retired:
        if not world.quiet(service):
            return  # a request may be frozen with it: the next reading looks again
        # What is only silent may count again when the entry changes.
        replica.unproven = service.flow is not None and service.flow.active > 0
    if service.retired or replica.digest != service.spec.digest:
        waking.stop(world, service, replica, "its catalogue entry has changed")
    elif world.now >= due:
        waking.stop(world, service, replica, f"paused for {world.now - replica.since:.0f} s")
    else:
        world.schedule(due, service.name)


def _consider_retired(world: World, service: ServiceState, ready: list[Replica]) -> None:
    """What has left the catalogue goes when its requests are over. There may be no readings of it any more: then the
    drain finds out, which proves that it is quiet or is refused."""
    if any(replica.busy for replica in ready):
        return  # the next measurement looks again
    due = max(replica.drain_after for replica in ready)
    if world.fresh(service) and not world.quiet(service):
        due = max(due, service.flow_at + world.settings.flow_valid)
    if world.now < due:
        world.schedule(due, service.name)
        return
    for replica in ready:
        rest(world, service, replica, "stopped", "it has left the catalogue")


def _consider_idle(world: World, service: ServiceState, ready: list[Replica]) -> None:
    stale = [replica for replica in ready if replica.digest != service.spec.digest]
    spare = stale + [replica for replica in ready if replica not in stale][service.min_replicas :]
    if not spare:
        return
    due = max(service.rest_due, *(replica.drain_after for replica in spare))
    if world.now < due:
        world.schedule(due, service.name)
    elif world.quiet(service):
        if [replica for replica in spare if not _measured(world, service, replica, due)]:
            return  # the measurement looks again
        for replica in spare:
            to = "stopped" if replica in stale else service.spec.scaling.rest.value
            rest(world, service, replica, to, f"no use for {world.now - service.idle_since:.0f} s")


def _measured(world: World, service: ServiceState, replica: Replica, due: float) -> bool:
    """Whether it was measured since its rest is due; else that is asked for, once. What was read some seconds before
    knows nothing of work that the last request has begun."""
    stale = replica.digest != service.spec.digest  # it may have callers that do not come by the gateway
    if not service.spec.busy.cpu and not service.spec.busy.http and not stale:
        return True
    if replica.measured_at >= due:
        return True
    if replica.measure_asked_at < due:
        replica.measure_asked_at = world.now
        world.emit(Measure(replica.id, service.name))
    return False


def _shrink(world: World, service: ServiceState, ready: list[Replica]) -> None:
    """One replica fewer, where the rest would have carried the load for a whole idle time, or the catalogue allows
    fewer by now."""
    scaling = service.spec.scaling
    fewer = len(ready) - 1
    if fewer < max(1, service.min_replicas):
        service.low_since = None
        return
    if service.flow is None or not world.fresh(service):
        return
    crowd = fewer < service.max_replicas and service.flow.active > fewer * scaling.scale_up_threshold
    spare = [replica for replica in ready if not replica.busy]
    if crowd or not spare:
        service.low_since = None
        return
    if service.low_since is None:
        service.low_since = world.now
    due = max(service.low_since + scaling.idle_timeout, spare[-1].drain_after)
    if world.now < due:
        world.schedule(due, service.name)
        return
    service.low_since = None
    rest(world, service, spare[-1], scaling.rest.value, f"{fewer} replicas carry the load")
