"""A service whose network belongs to another container, its holder: what it says of its network goes over to that one.

Owns which entries can be held, what the override says of them, and what the holder says in their place. Pure; making
holders is the driver's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.catalog.model import Service
from services.catalog.tree import Reset

_HANDED_OVER = ("networks", "hostname", "domainname", "dns", "dns_search", "dns_opt", "extra_hosts")
"""What the engine refuses, or overlooks, beside the namespace of another."""
_DROPPED = ("expose", "ports")
_IN_THE_WAY = ("links", "external_links", "mac_address", "network_mode")
_CONNECTION = {"aliases"}
"""Of a connection to a network, what a holder can have in the service's place."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one service hands over."""

    networks: Mapping[str, tuple[str, ...]]
    """The engine's name of each → the names there, that of the service among them."""
    settings: Mapping[str, Any]
    """Key of compose → value, of those that say something."""


def hindrance(service: Service, said: Mapping[str, Any], networks: Mapping[str, Mapping[str, Any]]) -> str:
    """Why the service cannot be held; empty where it can. `said`: its entry as compose has it. `networks`: all of the
    project."""
    if service.scaling.max_replicas > 1:
        return "it may have several copies, and a namespace has room for one"
    if found := next((key for key in _IN_THE_WAY if said.get(key)), None):
        return f"its {found} is about a network of its own"
    if any(str(port.get("protocol", "tcp")) != "tcp" for port in said.get("ports") or () if isinstance(port, Mapping)):
        return "it publishes a port that is not TCP"
    if any(str(key).startswith("net.") for key in said.get("sysctls") or ()):
        return "its sysctls are about its network"
    for key, connection in (said.get("networks") or {}).items():
        if others := sorted(name for name, value in (connection or {}).items() if value and name not in _CONNECTION):
            return f"its connection to network {key} has {', '.join(others)}"
        if (networks.get(key) or {}).get("enable_ipv6"):
            return f"network {key} has IPv6 addresses, past which nothing would lead"
    return ""


def held(service: Service, said: Mapping[str, Any], networks: Mapping[str, Mapping[str, Any]]) -> Held:
    """Of one that nothing hinders."""
    own = service.containers
    assert own is not None
    called = (own.name, *([own.container_name] if own.container_name else ()))
    found = {
        str((networks.get(key) or {}).get("name", key)): tuple(
            dict.fromkeys((*called, *((connection or {}).get("aliases") or ())))
        )
        for key, connection in (said.get("networks") or {}).items()
    }
    return Held(found, {key: said[key] for key in _HANDED_OVER if key != "networks" and said.get(key)})


def handed_over(said: Mapping[str, Any], holder: str) -> dict[str, Any]:
    """What the override says of the entry. `holder`: name of the container whose namespace it runs in."""
    gone: dict[str, Any] = {key: Reset() for key in (*_HANDED_OVER, *_DROPPED) if key in said}
    return {**gone, "network_mode": f"container:{holder}"}
