"""Who is behind each port of each container network: the names that neighbours call, sorted out. Pure values.

A door is one port number on one network. What only one service listens on belongs to it whatever its callers say; what
several share is told apart by Host. What cannot be told apart is not served, and is named.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog, Port, Protocol, Service


@dataclass(frozen=True, slots=True)
class Behind:
    """A service that listens on a door's port."""

    service: Service
    port: Port
    hosts: tuple[str, ...]
    """What callers may name it by, without a port: `ollama`, `ollama.shop_default`, aliases."""


@dataclass(frozen=True, slots=True)
class Door:
    network: str
    subnets: tuple[str, ...]
    """By these a gateway on several networks knows at which door a connection has come."""
    number: int
    behind: tuple[Behind, ...]
    """HTTP all, or one that is plain TCP."""
    by_host: bool
    """Told apart by Host, even where only one service is behind: on the edge's port the hub is the other."""
    namespace: str = ""
    """Of a door in a service's own namespace: the file that leads there."""
    listens: int = 0
    """There: the port at which callers arrive that came to `number`."""

    @property
    def key(self) -> str:
        return f"{self.network}@{self.number}"

    @property
    def tcp(self) -> bool:
        return self.behind[0].port.protocol is Protocol.TCP


@dataclass(frozen=True, slots=True)
class Doors:
    doors: tuple[Door, ...] = ()
    """By port number, then by network."""
    faults: tuple[str, ...] = ()
    """What could not be served, and why: a sentence each."""


def doors(catalog: Catalog, inside: Sequence[InsideNetwork], edge_port: int, kept: Collection[str] = ()) -> Doors:
    """`edge_port`: the hub's own on these networks. `kept`: hosts that mean the hub itself there."""
    found: list[Door] = []
    faults: list[str] = []
    taken: dict[str, str] = {}
    for _, network in sorted({network.name: network for network in inside}.items()):
        if network.namespace:
            found += _alone(catalog, network)
            continue
        subnets = tuple(dict.fromkeys(_subnets(network, taken, faults)))
        if not subnets:
            faults.append(f"network {network.name} has no IPv4 subnet of its own: no name is served there")
            continue
        listening = list(_listening(catalog, network))
        for number in sorted({behind.port.number for behind in listening}):
            here = [behind for behind in listening if behind.port.number == number]
            place = f"port {number} of network {network.name}"
            reserved = kept if number == edge_port else ()
            served = _tell_apart(here, place, shared=number == edge_port, kept=reserved, faults=faults)
            if served:
                by_host = number == edge_port or len(served) > 1
                found.append(Door(network.name, subnets, number, served, by_host))
    return Doors(tuple(sorted(found, key=lambda door: (door.number, door.network))), tuple(faults))


def _alone(catalog: Catalog, network: InsideNetwork) -> Iterator[Door]:
    """Of a namespace: whatever its callers say, they mean the one service there, also on the hub's own port."""
    for behind in _listening(catalog, network):
        number = behind.port.number
        if number in network.doors:
            yield Door(network.name, (), number, (behind,), False, network.namespace, network.doors[number])


def _listening(catalog: Catalog, network: InsideNetwork) -> Iterator[Behind]:
    names: dict[str, list[str]] = {}
    for name, called in network.names.items():
        names.setdefault(called, []).extend((name, f"{name}.{network.name}"))
    for called, hosts in sorted(names.items()):
        if called not in catalog.services:
            continue
        service = catalog.services[called]
        for port in service.ports:
            yield Behind(service, port, tuple(dict.fromkeys(host.lower() for host in hosts)))


def _subnets(network: InsideNetwork, taken: dict[str, str], faults: list[str]) -> Iterator[str]:
    """Those that no network before has; two filter chains of one range would make the gateway refuse both."""
    for text in network.subnets:
        try:
            subnet = ipaddress.ip_network(text, strict=False)
        except ValueError:
            faults.append(f"network {network.name} has the subnet {text!r}, which is none")
            continue
        if subnet.version != 4:
            continue
        owner = taken.setdefault(str(subnet), network.name)
        if owner == network.name:
            yield str(subnet)
        else:
            faults.append(f"networks {owner} and {network.name} both have the subnet {subnet}: {owner} is served there")


def _tell_apart(
    here: list[Behind], place: str, *, shared: bool, kept: Collection[str], faults: list[str]
) -> tuple[Behind, ...]:
    web = [behind for behind in here if behind.port.protocol is not Protocol.TCP]
    plain = [behind for behind in here if behind.port.protocol is Protocol.TCP]
    if len(plain) == 1 and not web and not shared:
        return tuple(plain)
    if plain:
        others = "the hub itself" if shared and not web else _said(web) if web else "each other"
        faults.append(
            f"{_said(plain)}: plain TCP on {place} cannot be told apart from {others}, and is not served there"
        )
    known: set[str] = {name.lower() for name in kept}
    served: list[Behind] = []
    for behind in web:
        free = tuple(host for host in behind.hosts if host not in known)
        if len(free) < len(behind.hosts):
            lost = ", ".join(host for host in behind.hosts if host in known)
            faults.append(f"{behind.service.name}: on {place} {lost} means another, which is served there")
        known.update(free)
        if free:
            served.append(Behind(behind.service, behind.port, free))
    return tuple(served)


def _said(behind: Iterable[Behind]) -> str:
    return ", ".join(dict.fromkeys(b.service.name for b in behind))
