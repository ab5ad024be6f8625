"""Own ports of services that the gateway could not have, since somebody else listens there. Envoy says so in its log
alone and goes on without them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from services.catalog.addresses import Edge
from services.catalog.check import overlap
from services.catalog.model import Publish, Service
from services.scaler.drivers.process.proc import Process
from services.scaler.drivers.process.sockets import Listener


@dataclass(frozen=True, slots=True)
class LostPort:
    published: Publish
    holder: Listener | None
    """None: the gateway itself."""


def of(service: Service, edge: Edge, gateway: Collection[Listener], others: Collection[Listener]) -> Iterator[LostPort]:
    """`gateway`: listeners of the gateway. One that is neither its nor anybody's is about to be its."""
    if not service.lazy and service.local is None:
        return  # its container publishes them
    for published in service.publishes:
        if published.number == edge.port and overlap(published.host, edge.host):
            yield LostPort(published, None)
            continue
        holder = next((one for one in others if _hinders(one, published)), None)
        if holder and not any(_is(one, published) for one in gateway):
            yield LostPort(published, holder)


def told(lost: LostPort, name: str, owner: Process | None, *, awake: bool) -> tuple[str, str]:
    """What is wrong, what helps: for people. `owner`: of the holder, where that may be seen. `awake`: the service has
    replicas."""
    who, remedy = "another program", f"give {name} another port in its catalogue entry, or end that program"
    if lost.holder is None:
        who = "the gateway itself"
    elif owner is not None:
        who = f"{owner.name} (pid {owner.pid})"
        if awake and owner.name == "docker-proxy":
            who += ", for a container that was made without the hub"
            remedy = f"aihub restart {name} makes it anew; until then it is asked past the gateway"
    return f"its own port {lost.published} is held by {who}", remedy


def _is(one: Listener, published: Publish) -> bool:
    return one.port == published.number and (
        one.address.is_unspecified if not published.host else str(one.address) == published.host
    )


def _hinders(one: Listener, published: Publish) -> bool:
    return one.port == published.number and any(overlap(published.host, str(address)) for address in one.takes)
