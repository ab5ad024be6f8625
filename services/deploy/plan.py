"""What belongs to which phase, what it publishes and which credentials it asks for: read off the resolved compose file.

Pure. The document is what `docker compose config --format json` gives, with all profiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Resolved = Mapping[str, Any]
_MONITOR = "monitor"
_LAZY = "on-demand"


class Env(StrEnum):
    DEV = "dev"
    PROD = "prod"


class Phase(StrEnum):
    INFRA = "infra"
    AI = "ai"
    MONITOR = "monitor"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Published:
    service: str
    host: str
    number: int


def services_of(resolved: Resolved, phase: Phase) -> tuple[str, ...]:
    """Those that the phase starts, in the order of the file. Services on demand are started by requests alone."""
    found = {name: _phase(service) for name, service in resolved.get("services", {}).items()}
    return tuple(name for name, own in found.items() if own is not None and phase in (own, Phase.ALL))


def lazy_services(resolved: Resolved) -> tuple[str, ...]:
    return tuple(name for name, service in resolved.get("services", {}).items() if _is_lazy(service))


def published(resolved: Resolved, names: Iterable[str]) -> Iterator[Published]:
    """Ports of this machine that these services take."""
    for name in names:
        for port in resolved["services"][name].get("ports") or ():
            if port.get("published") and "-" not in str(port["published"]):
                yield Published(name, port.get("host_ip") or "0.0.0.0", int(port["published"]))


def images(resolved: Resolved, names: Iterable[str]) -> Mapping[str, str]:
    """Service → image, of those that have one."""
    services = resolved["services"]
    return {name: services[name]["image"] for name in names if services[name].get("image")}


def memory_reserved(resolved: Resolved, names: Iterable[str]) -> int:
    """Bytes that these services ask to have for themselves."""
    total = 0
    for name in names:
        resources = (resolved["services"][name].get("deploy") or {}).get("resources") or {}
        total += int((resources.get("reservations") or {}).get("memory") or 0)
    return total


def _phase(service: Mapping[str, Any]) -> Phase | None:
    if _is_lazy(service):
        return None
    if _MONITOR in (service.get("profiles") or ()):
        return Phase.MONITOR
    tier = (service.get("x-hub") or {}).get("tier")
    return Phase.INFRA if tier == "infra" else Phase.AI


def _is_lazy(service: Mapping[str, Any]) -> bool:
    return _LAZY in (service.get("profiles") or ()) or (service.get("deploy") or {}).get("replicas") == 0
