"""Who needs whom: the edges of the catalogue, and what they ask of a wake and forbid a rest.

A service starts when what it depends on is there and rests only after its dependents. The edges that count never form
a circle: the one that would close it is left out, so no two services can keep each other awake or wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.catalog.model import Condition, Dependency, Service
from services.scaler.core.effects import Refusal
from services.scaler.core.state import Life, ServiceState
from services.scaler.core.world import World

PATIENCE = 30.0
"""Seconds for which a wake counts as wanted after the last one who asked has left: a reload is not a new turn."""

_RUNNING = frozenset({Life.STARTING, Life.READY, Life.DRAINING, Life.WITHDRAWING})
"""States in which a program that has been launched is not frozen."""


def connect(world: World) -> None:
    """Set `needs` and `dependents` of every service anew. One that has left the catalogue still needs what it did,
    and nobody needs it."""
    specs = {name: service.spec for name, service in world.services.items()}
    live = {name for name, service in world.services.items() if not service.retired}
    needs = _without_circles({name: _named(spec, live) for name, spec in specs.items()})
    dependents: dict[str, list[str]] = {name: [] for name in specs}
    for name, others in needs.items():
        for other in others:
            dependents[other].append(name)
    for name, service in world.services.items():
        service.needs, service.dependents = needs[name], tuple(dependents[name])


def kept(world: World, service: ServiceState) -> bool:
    """It has to be up although nobody asks: always on, pinned, or needed by something awake."""
    if service.retired or service.unavailable:
        return False
    if service.at_rest:
        # Who keeps it up without asking for it is not told from who wanted it ended; who asks wakes it.
        return service.pinned(world.now)
    if service.min_replicas or service.pinned(world.now):
        return True
    return any(world.services[name].awake for name in service.dependents)


def wanted(service: ServiceState) -> bool:
    """It is up or on its way, so what it needs must stay."""
    return bool(service.demands) or service.waking or service.awake


def insisted(world: World, service: ServiceState, *, people_only: bool = False) -> bool:
    """Whether somebody still wants the wake under way: a caller, also of a dependent that waits for it, or what keeps
    a service up. `people_only`: callers alone count."""
    return any(
        one.demands or world.now < one.demanded_at + PATIENCE or (not people_only and kept(world, one))
        for one in waiting_for(world, service)
    )


def waiting_for(world: World, service: ServiceState) -> Iterator[ServiceState]:
    """The service, and all whose wake waits for it, however far up."""
    seen, open_ends = {service.name}, [service]
    while open_ends:
        one = open_ends.pop()
        yield one
        waking = [name for name in one.dependents if world.services[name].waking and name not in seen]
        seen.update(waking)
        open_ends += [world.services[name] for name in waking]


def success_awaited(world: World, service: ServiceState) -> bool:
    """Whether a wake under way waits for the service to do its work and end."""
    return any(
        one.service == service.name and one.condition is Condition.COMPLETED
        for other in waiting_for(world, service)
        for one in other.spec.depends_on
    )


def blocked(world: World, service: ServiceState, *, forced: bool = False) -> tuple[Refusal, str, float] | None:
    """Why it can't start for now, because something it depends on can't, however far down; and until when.
    `forced`: back-off does not count."""
    seen: set[str] = set()
    open_ends = [(service, "")]
    while open_ends:
        one, said = open_ends.pop()
        for dependency in one.spec.depends_on:
            if not dependency.required or dependency.service not in one.needs or dependency.service in seen:
                continue
            other = world.services[dependency.service]
            seen.add(other.name)
            why = f"{said}it needs {other.name}"
            if other.in_life(Life.READY) or _served_its_turn(other, dependency.condition):
                continue
            if other.unavailable:
                return Refusal.UNAVAILABLE, f"{why}: {other.unavailable}", world.now + 60.0
            if other.failure and other.retry_at > world.now and not other.waking and not other.replicas and not forced:
                return Refusal.FAILED, f"{why}, which failed: {other.failure}", other.retry_at
            if not other.awake:
                open_ends.append((other, f"{why}: "))
    return None


def ask(world: World, service: ServiceState) -> None:
    """Wake what the service depends on or uses; each of them does the same for its own."""
    for name in service.needs:
        other = world.services[name]
        if all(_served_its_turn(other, one.condition) for one in _dependencies(service, name)):
            continue
        if other.waking or other.unavailable or other.in_life(Life.READY):
            continue
        if other.retry_at > world.now and not service.forced:
            continue
        if blocked(world, other, forced=service.forced) is not None:
            continue
        other.waking = True
        other.forced = other.forced or service.forced
        other.demanded_at = max(other.demanded_at, service.demanded_at)
        world.touch(name)


def met(world: World, service: ServiceState) -> bool:
    """Whether everything it depends on is as far as its condition says. What is not required and cannot be had for now
    is not waited for."""
    for dependency in service.spec.depends_on:
        if dependency.service not in service.needs:
            continue
        other = world.services[dependency.service]
        there = _there(other, dependency.condition)
        if not there and (dependency.required or not _out_of_reach(world, other)):
            return False
    return True


def _dependencies(service: ServiceState, name: str) -> list[Dependency]:
    found = [one for one in service.spec.depends_on if one.service == name]
    return found or [Dependency(name, Condition.HEALTHY)]  # only used


def _there(service: ServiceState, condition: Condition) -> bool:
    if condition is Condition.COMPLETED and service.spec.may_finish:
        return service.finished
    if _served_its_turn(service, condition):
        return True
    return _runs(service) if condition is Condition.STARTED else bool(service.in_life(Life.READY))


def _served_its_turn(service: ServiceState, condition: Condition) -> bool:
    """It was a task, has been done, and nobody wants it to be healthy after that."""
    return service.finished and condition is not Condition.HEALTHY


def _runs(service: ServiceState) -> bool:
    return any(one.launched and not one.dead and one.life in _RUNNING for one in service.replicas.values())


def _out_of_reach(world: World, service: ServiceState) -> bool:
    if service.unavailable or service.failure or service.no_room:
        return True
    return not service.awake and blocked(world, service) is not None


def _named(spec: Service, live: set[str]) -> list[str]:
    named = (*(dependency.service for dependency in spec.depends_on), *spec.uses)
    return [name for name in dict.fromkeys(named) if name in live and name != spec.name]


def _without_circles(edges: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """The same edges less those that lead back to where a walk came from. Not recursive: a chain may be long."""
    kept_edges: dict[str, list[str]] = {}
    walking: set[str] = set()
    for root in edges:
        if root in kept_edges:
            continue
        kept_edges[root] = []
        walking.add(root)
        path = [(root, iter(edges[root]))]
        while path:
            name, rest = path[-1]
            for other in rest:
                if other in walking:
                    continue
                kept_edges[name].append(other)
                if other not in kept_edges:
                    kept_edges[other] = []
                    walking.add(other)
                    path.append((other, iter(edges[other])))
                    break
            else:
                path.pop()
                walking.discard(name)
    return {name: tuple(kept_edges[name]) for name in edges}
