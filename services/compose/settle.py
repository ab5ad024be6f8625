"""What laziness changes in a service, and rules between the services of several stacks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from services.catalog.check import overlap
from services.catalog.faults import Fault
from services.catalog.model import Publish, Service, Tier
from services.compose.needs import Needs, needs_tcp


def bound_to(service: Service, bindings: Mapping[str, str]) -> str:
    """Where ports of the service that are given no address are published, by the one of its networks that the engine
    takes for that; else empty."""
    assert service.containers is not None
    outward = [network for network in bindings if network in service.containers.networks]
    rank = service.containers.priorities
    return bindings[max(outward, key=lambda network: rank.get(network, 0))] if outward else ""


def as_bound(service: Service, host: str) -> Service:
    """Ports that say no address of their own are published at `host`."""
    publishes = tuple(one if one.host else replace(one, host=host) for one in service.publishes)
    return replace(service, publishes=publishes)


def as_lazy(service: Service, uses: tuple[str, ...]) -> Service:
    """`uses`: databases that its environment names, besides those that its file says it needs."""
    if service.lazy and not uses:
        return service
    scaling = service.scaling if service.lazy else replace(service.scaling, min_replicas=0)
    tier = service.tier if service.lazy else Tier.ON_DEMAND
    return replace(service, lazy=True, tier=tier, scaling=scaling, uses=(*service.uses, *uses))


def as_kept(service: Service, lazy: Mapping[str, Service]) -> Service:
    """A service that compose runs: its published ports are the engine's. A lazy one that it depends on may rest all
    the same, as the name it calls is the gateway's."""
    assert service.containers is not None
    needed = tuple(d for d in service.depends_on if d.service not in lazy or needs_tcp(lazy[d.service]))
    if not service.publishes and len(needed) == len(service.depends_on):
        return service
    inside = replace(service.containers, published=service.publishes)
    return replace(service, publishes=(), containers=inside, depends_on=needed)


def named_in_environment(service: Service, lazy: Mapping[str, Service], needs: Needs) -> tuple[str, ...]:
    """Lazy databases that the service reaches by a name in its environment alone, and that do not need it in turn."""
    known = {*service.uses, *(dependency.service for dependency in service.depends_on)}
    return tuple(
        name
        for name in needs.named_by(service.name)
        if name in lazy and name not in known and not _reaches(lazy[name], service, lazy)
    )


def _reaches(service: Service, target: Service, services: Mapping[str, Service]) -> bool:
    seen, open_ends = {service.name}, [service]
    while open_ends:
        one = open_ends.pop()
        for name in (*one.uses, *(dependency.service for dependency in one.depends_on)):
            if name == target.name:
                return True
            if name in services and name not in seen:
                seen.add(name)
                open_ends.append(services[name])
    return False


def faults_between(services: Mapping[str, Service]) -> Iterator[Fault]:
    """What only shows when all stacks are known: addresses and paths that two of them want, and lazy services that
    nothing would ever wake."""
    paths: dict[str, Service] = {}
    taken: dict[int, list[tuple[Service, Publish]]] = {}
    for service in services.values():
        other = paths.setdefault(service.path, service)
        if _stack(other) != _stack(service):
            wanted = f"a path of its own; {other.name} ({_place(other)}) has it"
            yield _fault(service, ("x-hub", "path"), wanted, service.path)
        for publish in (*service.publishes, *(service.containers.published if service.containers else ())):
            before = taken.setdefault(publish.number, [])
            for other, theirs in before:
                if overlap(theirs.host, publish.host) and _stack(other) != _stack(service):
                    wanted = f"an address that is not taken by {other.name} ({_place(other)})"
                    yield _fault(service, ("ports",), wanted, str(publish))
                    break
            before.append((service, publish))
    needed = _needed(services.values())
    for service in services.values():
        if service.lazy and not service.ports and service.name not in needed:
            wanted = "a port (under ports or expose, or as x-hub.port), as requests to it wake a service on demand"
            yield _fault(service, (), wanted, None)


def _needed(services: Collection[Service]) -> set[str]:
    return {name for s in services for name in (*s.uses, *(dependency.service for dependency in s.depends_on))}


def _stack(service: Service) -> str:
    return service.containers.stack if service.containers else ""


def _place(service: Service) -> str:
    return f"line {service.source.line} of {service.source.file}"


def _fault(service: Service, inside: tuple[str, ...], wanted: str, value: str | None) -> Fault:
    name = service.containers.name if service.containers else service.name
    field = ".".join(("services", name, *inside))
    return Fault(service.source.file, service.source.line, 0, field, wanted, value)
