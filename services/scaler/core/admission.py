"""Who may start next: a cap on concurrent cold starts, a memory budget that holds at every step, a fair queue.

A start is charged before it is issued. Room is made by putting services to sleep that nobody uses, longest idle first;
what is in use is never touched. A service that cannot have its room keeps its place: others may pass it for a while,
then nobody does for a while, so that room for it can gather.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.scaler.core import needing, resting, waking
from services.scaler.core.effects import Refusal, Start
from services.scaler.core.state import Life, Preparation, Replica, ServiceState
from services.scaler.core.world import World

MEMORY = "memory"

_GUESS = 2
"""A program that works takes more than one that has just started; what it really takes is measured then."""

_PASSING_TIME = 30.0
"""Seconds for which others may pass a service that waits for room."""

_TURN_TIME = 60.0
"""Seconds for which nobody passes it after that."""


def admit(world: World) -> None:
    """Start what may start, in order of the queue."""
    if world.closing:
        return
    relieve(world)
    if not world.queue:
        return
    places = world.settings.start_cap - sum(replica.life is Life.STARTING for replica in replicas(world))
    if places <= 0:
        return
    for service in [world.services[name] for name in world.queue]:
        if not _can_start(world, service):
            world.leave_queue(service)
            world.touch(service.name)
        elif waking.may_leave_queue(world, service):
            waking.give_up(world, service)
    total = world.budget.get(MEMORY)
    spare: int | None = None
    for name in _in_turn(world):
        if places <= 0:
            return
        service = world.services[name]
        need = room_needed(world, service)
        if total is None or world.charged() + need <= total:
            _start(world, service, need)
            places -= 1
            continue
        if need > total:
            reason = f"{name} needs {_size(need)}, the whole budget is {_size(total)}"
            waking.fail(world, service, reason, Refusal.NO_ROOM)
            continue
        # Many may wait and many may run: what could yield is looked up once for all of them.
        spare = _yieldable(world) if spare is None else spare
        if world.charged() + need - total <= spare and make_room(world, need, for_whom=name):
            service.no_room = ""
            return
        if _goes_first(world, service, need, total):
            return


def relieve(world: World) -> None:
    """Where measured sizes have outgrown the budget, idle services yield until it holds again."""
    total = world.budget.get(MEMORY)
    if total is not None and world.charged() > total:
        make_room(world, 0, for_whom="")


def make_room(world: World, need: int, *, for_whom: str) -> bool:
    """Put idle services to sleep until `need` bytes fit. False, and nothing done, where that can't be reached."""
    total = world.budget[MEMORY]
    missing = world.charged() + need - total
    missing -= sum(replica.charge for replica in replicas(world) if _yields_already(replica))
    if missing <= 0:
        return True
    chosen: list[Replica] = []
    for replica in sorted(resting.may_yield(world, for_whom), key=lambda one: world.services[one.service].last_use):
        chosen.append(replica)
        missing -= replica.charge
        if missing <= 0:
            break
    if missing > 0 and for_whom:
        return False
    for replica in chosen:
        reason = f"makes room for {for_whom}" if for_whom else "the memory budget is exceeded"
        resting.yield_room(world, world.services[replica.service], replica, reason)
    return True


def _yieldable(world: World) -> int:
    """Bytes that are on their way back or that idle services could give."""
    coming = sum(replica.charge for replica in replicas(world) if _yields_already(replica))
    return coming + sum(replica.charge for replica in resting.may_yield(world, ""))


def replicas(world: World) -> Iterator[Replica]:
    for replica_id, name in world.replica_of.items():
        yield world.services[name].replicas[replica_id]


def charged(world: World) -> int:
    """Bytes of the memory budget that are reserved."""
    return world.charged()


def room_needed(world: World, service: ServiceState) -> int:
    """Bytes a start is charged: the measured size with headroom, else what the catalogue reserves for it, else twice
    what it was seen to start with elsewhere, else its limit, else a default."""
    if service.size is not None:
        return int(service.size * (1 + world.settings.headroom))
    declared = service.spec.resources
    typical = service.spec.local.typical.memory if service.spec.local else None
    guess = _GUESS * typical if typical else declared.memory_limit or world.settings.default_memory
    return declared.memory_reservation or guess


def queue_position(world: World, name: str) -> int | None:
    """1 is next; None where it is not queued."""
    order = _in_turn(world)
    return order.index(name) + 1 if name in order else None


def _in_turn(world: World) -> list[str]:
    """First what a service in use asks for (it holds memory while it waits), then in order of asking."""

    def turn(name: str) -> tuple[bool, float]:
        service = world.services[name]
        urgent = any(world.services[other].awake for other in service.dependents)
        return (not urgent, service.queued_at or 0.0)

    return sorted(world.queue, key=turn)


def _can_start(world: World, service: ServiceState) -> bool:
    """Whether what let it into the queue still holds: catalogue, installation and dependencies may have changed."""
    if service.unavailable or service.preparation is not Preparation.DONE:
        return False
    if service.in_life(Life.READY):
        return len(service.replicas) < service.max_replicas
    return service.waking and not service.replicas and needing.met(world, service)


def _goes_first(world: World, service: ServiceState, need: int, total: int) -> bool:
    """Note why it has no room. True while nobody may pass it; then it goes to the end of the queue, for what is busy
    may stay so and others fit. Where room can never gather, or only the hub itself wants it, all may pass always."""
    assert service.queued_at is not None
    if not service.no_room:
        world.touch(*service.dependents)
    service.no_room = (
        f"{service.name} needs {_size(need)}, and {_size(world.charged())} of {_size(total)} are in use by services "
        "that are busy"
    )
    passing_ends = service.queued_at + _PASSING_TIME
    if world.now < passing_ends:
        world.schedule(passing_ends, service.name)
        return False
    turn_ends = passing_ends + _TURN_TIME
    if world.now >= turn_ends:
        service.queued_at = world.now
        world.schedule(world.now + _PASSING_TIME, service.name)
        return False
    world.schedule(turn_ends, service.name)
    fixed = sum(one.charge for one in replicas(world) if _never_yields(world, world.services[one.service]))
    return need + fixed <= total and needing.insisted(world, service, people_only=True)


def _never_yields(world: World, service: ServiceState) -> bool:
    return service.min_replicas > 0 or service.pinned(world.now)


def _start(world: World, service: ServiceState, need: int) -> None:
    world.leave_queue(service)
    replica = Replica(
        id=f"{service.name}-{service.next_ordinal}",
        service=service.name,
        life=Life.STARTING,
        attempt=world.new_attempt(),
        digest=service.spec.digest,
        charge=need,
        since=world.now,
        begun=world.now,
    )
    service.next_ordinal += 1
    world.add_replica(service, replica)
    service.put_down = service.finished = service.left = False
    world.decide(service.name, "start", f"{len(service.demands)} waiting, {_size(need)} reserved")
    world.emit(Start(replica.id, service.name, replica.attempt))
    world.touch(*service.needs)  # from now on they have to be up


def _yields_already(replica: Replica) -> bool:
    if replica.life is Life.STOPPING:
        return True
    if replica.deaf and replica.life is Life.DRAINING:
        return False  # its requests may take hours
    return replica.rest_to == "stopped" and replica.life in (Life.DRAINING, Life.WITHDRAWING, Life.PAUSING)


def _size(amount: int) -> str:
    return f"{amount / (1 << 30):.1f} GiB" if amount >= 1 << 30 else f"{amount / (1 << 20):.0f} MiB"
