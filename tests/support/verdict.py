"""The laws that only the end can show: everything comes to rest, nobody waits for ever, a replay gives it all again."""

from __future__ import annotations

from services.scaler.core import resting
from services.scaler.core.fleet import Fleet
from tests.support import laws
from tests.support.world import World


def replayed(world: World) -> None:
    """The law of the journal: the same events at the same times give the same state and the same effects."""
    fresh = Fleet(world.settings)
    for event, at, effects in world.journal:
        again = tuple(fresh.handle(event, at))
        if effects != again:
            world.broken(f"replayed, {event} gives {again} instead of {effects}")
    here, there = vars(world.fleet.world), vars(fresh.world)
    for name in here.keys() - {"_charged"}:  # a sum that is made when somebody asks for it
        if here[name] != there[name]:
            world.broken(f"replayed, {name} is {there[name]} instead of {here[name]}")


def judge_calm(world: World, seconds: float) -> None:
    """After calm: every demand is over, nothing waits for ever, what nobody needs is asleep, what must be up is."""
    world.calm(seconds)
    if world.open:
        world.broken(f"demands {world.open} wait for ever")
    world.set_budget(None)
    world.calm(seconds)
    able = {name for name in world.catalog.services if laws.able(world, name)}
    # What somebody else has ended stays so; where a start was awaited at that time, it may be up.
    pinned = {name for name, until in world.pins.items() if until > world.now}
    must_be_up = laws.kept_up(world, able - (world.put_down.keys() - pinned), world.pins)
    # What runs goes on though it could not start now; what waits for a task goes on waiting, with what it needs.
    waiting = {name for name in world.catalog.services if laws.waits_for_a_task(world, name)}
    stays = dict.fromkeys(waiting, float("inf"))
    may_be_up = laws.kept_up(world, set(world.catalog.services), world.old_pins | world.pins | stays)
    for name, service in world.fleet.world.services.items():
        marks = (service.waking, service.forced, service.restarting, service.queued_at is not None)
        if any(marks) and not service.unavailable and name not in waiting:
            world.broken(f"{name} keeps marks of a wake: {marks}")
        if name in must_be_up and not any(program.runs and program.told_ready for program in world.of(name)):
            world.broken(f"{name} must be up and is not: {service.replicas}, {service.failure}")
        if name not in may_be_up and service.replicas:
            world.broken(f"{name} is still there: {resting.use(world.fleet.world, service)}, {service.replicas}")
    for program in world.programs.values():
        if not program.gone and program.replica not in world.fleet.world.replica_of:
            world.broken(f"{program} runs and nobody knows it")


def judge_shutdown(world: World) -> None:
    if world.open or any(not program.gone for program in world.programs.values()):
        world.broken(f"the hub was shut down: {world.open} wait, {world.programs} run")
