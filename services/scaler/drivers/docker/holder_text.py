"""What a holder is made from: a service's network in the engine's words. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from services.catalog.model import Service
from services.compose.holding import held, hindrance


@dataclass(frozen=True, slots=True)
class Holding:
    """A holder that is to be."""

    whose: str
    """`PROJECT/SERVICE`."""
    name: str
    """Of the container."""
    networks: Mapping[str, tuple[str, ...]]
    """Engine's name of each → the names there."""
    settings: Mapping[str, Any]
    """Compose's key → value."""
    ports: tuple[int, ...]


def holdings(
    candidates: Collection[Service], resolved: Mapping[str, Any], mark: str
) -> tuple[dict[str, Holding], dict[str, str]]:
    """Of one project: compose's name of each service that gets a holder, and of each that does not, why. `resolved`:
    the project as compose has it, without an override of ours. `mark`: of the hub's data folder."""
    networks = {key: said or {} for key, said in (resolved.get("networks") or {}).items()}
    found: dict[str, Holding] = {}
    left: dict[str, str] = {}
    for service in candidates:
        assert service.containers is not None
        project, name = service.containers.stack, service.containers.name
        said = (resolved.get("services") or {}).get(name)
        if said is None:
            continue
        if why := hindrance(service, said, networks):
            left[name] = why
            continue
        handed = held(service, said, networks)
        ports = tuple(dict.fromkeys(port.number for port in service.ports))
        container = f"aihub-{mark}-holder-{project}-{name}"
        found[name] = Holding(f"{project}/{name}", container, handed.networks, handed.settings, ports)
    return found, left


def description(holding: Holding, image: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """As the engine wants it, on the first of its networks."""
    (first, endpoint), *_ = endpoints_config(holding)
    said = holding.settings
    resolver = {"Dns": _list(said.get("dns")), "DnsSearch": _list(said.get("dns_search"))}
    return {
        "Image": image,
        "Hostname": str(said.get("hostname") or ""),
        "Domainname": str(said.get("domainname") or ""),
        "Labels": dict(labels),
        # It has nothing to end.
        "StopSignal": "SIGKILL",
        "User": "65534:65534",
        "HostConfig": {
            **resolver,
            "DnsOptions": _list(said.get("dns_opt")),
            "ExtraHosts": _hosts(said.get("extra_hosts")),
            "NetworkMode": first,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "Memory": 8 << 20,
            "PidsLimit": 4,
            "LogConfig": {"Type": "none"},
        },
        "NetworkingConfig": {"EndpointsConfig": {first: endpoint}},
    }


def endpoints_config(holding: Holding) -> list[tuple[str, dict[str, Any]]]:
    """Network → the connection, with its names."""
    return [(network, {"Aliases": list(names)} if names else {}) for network, names in holding.networks.items()]


def _list(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value or ()]


def _hosts(value: Any) -> list[str]:
    """`NAME:ADDRESS`; compose has `NAME=ADDRESS`, or a mapping."""
    if isinstance(value, Mapping):
        pairs = [(name, one) for name, found in value.items() for one in _list(found)]
        return [f"{name}:{address}" for name, address in pairs]
    return [":".join(str(one).split("=", 1)) for one in value or ()]
