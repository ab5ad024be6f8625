"""What others have registered, and which of it this hub's gateway serves. Pure.

A name of the catalogue is served from elsewhere while it does not run here. Any other name only where its instance is
tagged `aihub`: whoever registers it asks for it. From another hub comes only what cannot run here, at a port of the
service's own. Two hubs that both fall asleep would else send a request in circles, and each has data of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import Any

from services.catalog.model import RESERVED_NAMES
from services.catalog.schema import NAME
from services.scaler.registry.desired import DOOR, HUB
from services.scaler.registry.standing import Standing

OPT_IN = "aihub"
"""The tag that asks for a place at the gateway."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One that somebody else has registered and that is not critical."""

    address: str
    """`HOST:PORT`, the host an IPv4 address."""
    opted_in: bool = False
    hub: str = ""
    """Name of the hub that has registered it; empty where none has."""
    own_port: bool = True
    """False at a hub's edge, where a request would need that hub's path or host."""


@dataclass(frozen=True, slots=True)
class ForeignServices:
    """What the gateway shall serve from elsewhere."""

    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Service → `HOST:PORT`, sorted, never empty."""


def selected(instances: Mapping[str, Iterable[Instance]], standings: Iterable[Standing]) -> ForeignServices:
    here = {standing.service.name: standing for standing in standings}
    found = {}
    for name, some in instances.items():
        addresses = sorted({one.address for one in some if _served(one, name, here.get(name))})
        if addresses:
            found[name] = tuple(addresses)
    return ForeignServices(found)


def worth_watching(services: Mapping[str, Iterable[str]], names: Iterable[str]) -> frozenset[str]:
    """Of all services that others have registered (→ tags) those that may concern this hub. `names`: its catalogue."""
    known = frozenset(names)
    return frozenset(name for name, tags in services.items() if name in known or (OPT_IN in tags and _good(name)))


def from_health(found: Iterable[Mapping[str, Any]], hub: str) -> tuple[tuple[Instance, ...], tuple[str, ...]]:
    """What Consul says of the instances of one service: those that may be used, and the ids of those whose host is no
    IPv4 address. Without this hub's own, without proxies and what is critical. Raises KeyError, TypeError or ValueError
    where no Consul has said it."""
    usable, nameless = [], []
    for entry in found:
        service = entry["Service"]
        meta = service.get("Meta") or {}
        critical = any(check["Status"] == "critical" for check in entry["Checks"])
        if critical or service.get("Kind") or meta.get(HUB) == hub:
            continue
        host = service["Address"] or entry["Node"]["Address"]
        if not _address(host) or not int(service["Port"]):
            nameless.append(service["ID"])
            continue
        opted_in = OPT_IN in (service["Tags"] or ())
        own_port = HUB not in meta or meta.get(DOOR) == "own"
        usable.append(Instance(f"{host}:{int(service['Port'])}", opted_in, meta.get(HUB, ""), own_port))
    return tuple(usable), tuple(nameless)


def _served(instance: Instance, name: str, standing: Standing | None) -> bool:
    if standing is None:
        return instance.opted_in and instance.own_port and _good(name)
    if standing.serving:
        return False
    return instance.own_port and not standing.able if instance.hub else True


def _good(name: str) -> bool:
    return NAME.match(name) is not None and name not in RESERVED_NAMES


def _address(host: str) -> bool:
    try:
        return isinstance(ip_address(host), IPv4Address)
    except ValueError:
        return False
