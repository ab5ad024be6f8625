"""What the outcomes of effects do to a replica, one function an event. What nobody awaits changes nothing."""

from __future__ import annotations

from services.catalog.model import Service
from services.scaler.core import admission, needing, resting, waking
from services.scaler.core.effects import Pause, Refusal, Watch, Withdraw
from services.scaler.core.events import (
    Adopted,
    Deaf,
    Drained,
    DrainRefused,
    End,
    Exited,
    Meddled,
    Paused,
    PauseFailed,
    Prepared,
    PrepareFailed,
    Ready,
    Resumed,
    ResumeFailed,
    Started,
    StartFailed,
    Stopped,
    Withdrawn,
)
from services.scaler.core.state import Life, Preparation, Replica, ServiceState
from services.scaler.core.world import World

_STARTS_REMEMBERED = 5
_RETRY_SHARE, _LONGEST_RETRY = 0.1, 30.0
"""Of the idle time, and seconds at most, until a refused drain is tried again."""


def prepared(world: World, event: Prepared) -> None:
    service = world.services.get(event.service)
    if service is None or service.prepare_attempt != event.attempt or service.preparation is not Preparation.RUNNING:
        return
    service.preparation, service.progress, service.pulling = Preparation.DONE, None, False
    service.prepare_seconds = world.now - service.prepare_since
    world.touch(service.name)


def prepare_failed(world: World, event: PrepareFailed) -> None:
    service = world.services.get(event.service)
    if service is None or service.prepare_attempt != event.attempt or service.preparation is not Preparation.RUNNING:
        return
    service.preparation, service.progress = Preparation.UNKNOWN, None
    if event.not_ours and not service.spec.lazy:
        service.put_down = True
    asked_for = service.demands or any(one is not service for one in needing.waiting_for(world, service))
    if service.put_down and event.not_ours and not asked_for and not service.pinned(world.now):
        world.decide(service.name, "left", event.reason)
        service.pulling = False
        waking.end_wake(world, service)
        world.touch(service.name)
    else:
        waking.fail(world, service, event.reason)


def started(world: World, event: Started) -> None:
    found = world.answered(event.replica, event.attempt, Life.STARTING)
    if found is None:
        return
    service, replica = found
    replica.launched, replica.endpoints, replica.pid = True, event.endpoints, event.pid
    world.touch(service.name, *service.dependents)


def ready(world: World, event: Ready) -> None:
    found = world.answered(event.replica, event.attempt, Life.STARTING)
    if found is None:
        return
    service, replica = found
    if replica.dead:
        _ended(world, service, replica)
        return
    service.failure, service.retry_at, service.interrupted = "", 0.0, False
    if len(_recent_crashes(world, service)) <= world.settings.crash_limit:
        service.failures = 0  # in a loop of crashes a start that succeeds proves nothing
    if not replica.adopted:
        service.start_seconds = [*service.start_seconds, world.now - replica.begun][-_STARTS_REMEMBERED:]
    replica.ready_at = world.now
    world.used(service, "it has just started")
    waking.publish(world, service, replica)


def start_failed(world: World, event: StartFailed) -> None:
    found = world.answered(event.replica, event.attempt, Life.STARTING)
    if found is None:
        return
    service, replica = found
    world.drop_replica(service, replica)
    # Whatever is missing (somebody may have removed an environment) is looked for again before the next start.
    service.preparation = Preparation.UNKNOWN
    if service.name not in world.services:
        return
    if event.end is End.BY_HAND and not service.interrupted:
        # Whoever waits still waits: the same wake begins once more.
        service.interrupted = True
        _by_somebody_else(world, service, event.reason, " while it started")
        world.touch(service.name, *service.dependents)
    else:
        service.put_down = event.end is End.BY_HAND and not service.spec.lazy
        service.left = event.end is End.LEFT and not service.spec.lazy
        waking.fail(world, service, event.reason)


def exited(world: World, event: Exited) -> None:
    found = world.replica(event.replica)
    if found is None or found[1].life is Life.STOPPING:
        return
    service, replica = found
    service.put_down = event.end is End.BY_HAND and not service.spec.lazy
    replica.reason, replica.end = event.reason, event.end
    if replica.life in (Life.STARTING, Life.RESUMING):
        # The outcome that is awaited will tell; a success that was on its way already is none any more.
        replica.dead = True
        return
    _ended(world, service, replica)


def drained(world: World, event: Drained) -> None:
    found = world.answered(event.replica, event.attempt, Life.DRAINING)
    if found is not None:
        service, replica = found
        replica.move(Life.WITHDRAWING, world.new_attempt(), world.now)
        world.emit(Withdraw(replica.id, service.name, replica.attempt))


def drain_refused(world: World, event: DrainRefused) -> None:
    found = world.answered(event.replica, event.attempt, Life.DRAINING)
    if found is not None:
        service, replica = found
        if replica.deaf:
            replica.drain_after = world.now + world.settings.drain_retry
            replica.attempt = world.new_attempt()
            world.schedule(replica.drain_after, service.name)
        else:
            # No use by itself: what is in flight may be a monitor's. What counts shows in the next reading.
            share = 0.0 if service.retired else min(service.spec.scaling.idle_timeout * _RETRY_SHARE, _LONGEST_RETRY)
            replica.drain_after = world.now + max(world.settings.drain_retry, share)
            _stay(world, service, replica)


def withdrawn(world: World, event: Withdrawn) -> None:
    found = world.answered(event.replica, event.attempt, Life.WITHDRAWING, Life.STOPPING)
    if found is None:
        return
    service, replica = found
    if replica.dead:
        waking.stop(world, service, replica, "what is left of it is cleared away")
    elif event.moved and replica.deaf:
        # A request is in there, which can be seen only while the endpoint is known to the gateways.
        waking.publish(world, service, replica)
        resting.rest(world, service, replica, "stopped", replica.reason)
    elif event.moved:
        world.used(service, "a request came while it was taken out of service")
        _stay(world, service, replica)
    elif replica.rest_to == "paused":
        replica.move(Life.PAUSING, world.new_attempt(), world.now)
        world.emit(Pause(replica.id, service.name, replica.attempt))
    else:
        waking.stop(world, service, replica, replica.reason)


def paused(world: World, event: Paused) -> None:
    found = world.answered(event.replica, event.attempt, Life.PAUSING)
    if found is None:
        return
    service, replica = found
    if event.moved:
        service.forced = False
        waking.resume(world, service, replica, "a request had reached it before it froze")
        return
    replica.move(Life.PAUSED, world.new_attempt(), world.now)
    replica.busy = ""
    if replica.rest_to == "stopped" and not (service.demands or service.waking):
        waking.stop(world, service, replica, replica.reason)
    world.touch(service.name, *service.needs)


def pause_failed(world: World, event: PauseFailed) -> None:
    found = world.answered(event.replica, event.attempt, Life.PAUSING)
    if found is None:
        return
    service, replica = found
    replica.not_pausable = event.reason
    world.decide(service.name, "not pausable", event.reason)
    if service.demands or service.waking:
        waking.publish(world, service, replica)
    else:
        waking.stop(world, service, replica, f"it cannot be paused: {event.reason}")


def resumed(world: World, event: Resumed) -> None:
    found = world.answered(event.replica, event.attempt, Life.RESUMING)
    if found is None:
        return
    service, replica = found
    if replica.dead:
        _ended(world, service, replica)
        return
    replica.deaf = False
    world.used(service, "it has just been resumed")
    waking.publish(world, service, replica)


def resume_failed(world: World, event: ResumeFailed) -> None:
    found = world.answered(event.replica, event.attempt, Life.RESUMING)
    if found is not None:
        service, replica = found
        waking.stop(world, service, replica, f"it did not come back from its pause: {event.reason}")
        _count_crash(world, service, event.reason)


def stopped(world: World, event: Stopped) -> None:
    found = world.answered(event.replica, event.attempt, Life.STOPPING)
    if found is None:
        return
    service, replica = found
    world.drop_replica(service, replica)
    if service.restarting and not service.in_life(Life.DRAINING, Life.WITHDRAWING, Life.PAUSING, Life.STOPPING):
        service.restarting = False
        if service.replicas:  # others of it stayed, or have come back already
            service.forced = False
        else:
            service.waking, service.demanded_at = True, world.now


def adopted(world: World, event: Adopted) -> None:
    """Take in what an earlier life left: nothing is restarted, nothing is lost."""
    service = world.services.get(event.service)
    if service is None:  # its entry has left the catalogue meanwhile
        service = world.services[event.service] = ServiceState(Service(event.service), retired=True)
    lives = {"starting": Life.STARTING, "ready": Life.READY, "paused": Life.PAUSED, "stopping": Life.STOPPING}
    replica = Replica(
        id=event.replica,
        service=service.name,
        life=lives[event.phase],
        attempt=world.new_attempt(),
        digest=event.digest,
        charge=admission.room_needed(world, service),
        since=world.now,
        begun=world.now,
        endpoints=event.endpoints,
        pid=event.pid,
        launched=True,
        adopted=True,
        unproven=event.phase == "paused",
    )
    service.finished = service.left = False
    world.add_replica(service, replica)
    ordinal = event.replica.rpartition("-")[2]
    service.next_ordinal = max(service.next_ordinal, int(ordinal) + 1 if ordinal.isdigit() else 1)
    world.decide(service.name, "adopt", f"{event.replica} runs already ({event.phase})")
    match replica.life:
        case Life.STARTING:
            world.emit(Watch(replica.id, service.name, replica.attempt))
        case Life.READY:
            service.failure, service.retry_at = "", 0.0  # whatever hindered it, it serves
            replica.ready_at = world.now
            world.used(service, "it was adopted")
            waking.publish(world, service, replica)
        case Life.STOPPING:
            waking.stop(world, service, replica, "it was being stopped")
        case _:
            pass
    world.touch(service.name, *service.needs, *service.dependents)


def appeared(world: World, found: Adopted) -> None:
    """Somebody else started one: from now on it is a replica as any other. While the hub ends, it is theirs."""
    service = world.services.get(found.service)
    if service is not None and not service.retired and not world.closing and found.replica not in world.replica_of:
        service.put_down = False
        adopted(world, found)


def meddled(world: World, event: Meddled) -> None:
    """Somebody else froze or thawed it. Frozen: no request may be sent there any more. Thawed: it serves, when it has
    been looked at, and rests again when its time has come."""
    found = world.replica(event.replica)
    if found is None:
        return
    service, replica = found
    world.decide(service.name, "meddled", f"{event.replica} was {event.now} by somebody else")
    if event.now == "paused" and replica.life in (Life.READY, Life.DRAINING, Life.WITHDRAWING):
        if service.flow is not None and service.flow.active > 0 and not world.quiet(service):
            # A request hangs in there, and its caller with it: nothing in use is stopped, by whomever.
            service.waking, service.demanded_at = True, world.now
        attempt = world.new_attempt()
        replica.move(Life.PAUSED, attempt, world.now)
        replica.busy, service.restarting = "", False
        service.forced = service.forced and service.waking
        replica.unproven, service.released_at = True, world.now
        world.emit(Withdraw(replica.id, service.name, attempt, urgent=True))
        world.touch(service.name, *service.needs, *service.dependents)
    elif event.now == "running" and replica.life is Life.PAUSED:
        if replica.unproven:
            # A request that was frozen with it goes on: it is awake, whatever it needs and whatever its entry says now.
            waking.resume(world, service, replica, "somebody else thawed it, and a request may be in flight")
        else:
            service.waking, service.demanded_at = True, world.now
        world.touch(service.name, *service.needs, *service.dependents)


def deafened(world: World, event: Deaf) -> None:
    """Its requests end where they are, its next ones belong to a new program."""
    found = world.replica(event.replica)
    if found is None or found[1].deaf or found[1].life not in (Life.READY, Life.DRAINING, Life.WITHDRAWING):
        return
    service, replica = found
    replica.deaf, replica.busy = True, ""
    replica.rest_to, replica.reason = "stopped", event.reason
    if replica.life is Life.READY:
        resting.rest(world, service, replica, "stopped", event.reason)
    _count_crash(world, service, event.reason)
    world.touch(service.name, *service.dependents)


def _stay(world: World, service: ServiceState, replica: Replica) -> None:
    service.restarting = service.forced = False
    waking.publish(world, service, replica)


def _ended(world: World, service: ServiceState, replica: Replica) -> None:
    """Its program is gone, for the reason that it holds. What somebody else has ended is no crash."""
    if replica.end is End.BY_HAND:
        _by_somebody_else(world, service, replica.reason)
        _clear_away(world, service, replica)
    elif replica.end is End.FINISHED:
        _finished(world, service, replica)
    elif replica.end is End.LEFT and not service.spec.lazy:
        _left(world, service, replica)
    else:
        world.decide(service.name, "crashed", replica.reason)
        _clear_away(world, service, replica)
        _count_crash(world, service, replica.reason)


def _by_somebody_else(world: World, service: ServiceState, reason: str, when: str = "") -> None:
    """What is on demand comes back when it is wanted; what is always on is none of the hub's business any more."""
    service.put_down = not service.spec.lazy
    if service.put_down and not service.demands:
        waking.end_wake(world, service)
    left = f", and {waking.LEFT}" if service.put_down else ""
    world.decide(service.name, "ended", f"by somebody else{when}{left}: {reason}")


def _finished(world: World, service: ServiceState, replica: Replica) -> None:
    """What waits for its end goes on; it is begun again when somebody asks for it, or with the next hub. Who waited for
    it to serve would have it done again and again."""
    service.finished, service.failure, service.failures, service.retry_at = True, "", 0, 0.0
    waking.end_wake(world, service)
    world.refuse_all(service, Refusal.FAILED, f"{replica.reason}: it has done its work, and serves nobody", 60.0)
    world.decide(service.name, "finished", replica.reason)
    _clear_away(world, service, replica)


def _left(world: World, service: ServiceState, replica: Replica) -> None:
    """It failed, and whoever runs it does not start it again, as its entry has it. Who waits for it to serve or to
    succeed is told; all others may ask for it anew at once."""
    service.left = True
    _clear_away(world, service, replica)
    if service.demands or needing.success_awaited(world, service):
        waking.fail(world, service, replica.reason)
        return
    world.decide(service.name, "failed", f"{replica.reason} ({waking.LEFT})")
    service.failure, service.retry_at = replica.reason, 0.0
    waking.end_wake(world, service)
    _count_crash(world, service, replica.reason)


def _clear_away(world: World, service: ServiceState, replica: Replica) -> None:
    """The program is gone. Its endpoint is withdrawn first, for its address is free only when no gateway has it."""
    replica.dead, replica.busy = True, ""
    replica.move(Life.STOPPING, world.new_attempt(), world.now)
    world.emit(Withdraw(replica.id, service.name, replica.attempt))
    world.touch(service.name, *service.dependents)


def _count_crash(world: World, service: ServiceState, reason: str) -> None:
    service.crashes = [*_recent_crashes(world, service), world.now]
    if len(service.crashes) > world.settings.crash_limit:
        waking.fail(world, service, f"it crashed {len(service.crashes)} times within a minute, last: {reason}")


def _recent_crashes(world: World, service: ServiceState) -> list[float]:
    since = world.now - world.settings.crash_window
    return [at for at in service.crashes if at > since]
