"""What belongs to which phase, what it publishes and which credentials it asks for: read off the resolved compose file.

Pure. The document is what `docker compose config` gives, with all profiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
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

    @property
    def parts(self) -> tuple[Phase, ...]:
        """Those it consists of, in the order in which they come up."""
        return (Phase.INFRA, Phase.AI, Phase.MONITOR) if self is Phase.ALL else (self,)


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


def needing_images(resolved: Resolved, phase: Phase) -> tuple[str, ...]:
    """Those that the phase starts, and beside them those on demand, which the first of the phases makes possible: their
    images are built by the deployment alone, since the hub in its container may build none."""
    lazy = () if phase is Phase.MONITOR else lazy_services(resolved)
    return (*services_of(resolved, phase), *lazy)


def kept_awake(resolved: Resolved) -> tuple[str, ...]:
    """Services of the hub's own that it keeps running, as `scaling.min_replicas` asks: it starts them, not compose."""
    found = []
    for name, service in resolved.get("services", {}).items():
        scaling = (service.get("x-hub") or {}).get("scaling") or {}
        if _is_lazy(service) and int(scaling.get("min_replicas") or 0) > 0:
            found.append(name)
    return tuple(found)


def option(resolved: Resolved, service: str, name: str) -> str | None:
    """Of a service's command, `--name=VALUE`."""
    words = resolved.get("services", {}).get(service, {}).get("command") or ()
    return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), None)


def bound_files(resolved: Resolved, service: str, below: Iterable[Path]) -> list[Path]:
    """Files and folders under one of `below` that the service is given to read."""
    roots = tuple(below)
    mounts = resolved["services"][service].get("volumes") or ()
    sources = [Path(mount["source"]) for mount in mounts if mount.get("type") == "bind"]
    return [source for source in sources if any(source.is_relative_to(root) for root in roots)]


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
