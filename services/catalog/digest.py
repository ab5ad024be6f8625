"""The mark of what a replica was started with: another digest means that a running replica is out of date.

How a service rests and wakes is not of it, so that such a change takes effect without a restart.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from services.catalog.model import Service
from services.catalog.tree import Table

_LENGTH = 16
_APART = frozenset(
    {"build", "container_name", "depends_on", "develop", "ports", "profiles", "pull_policy", "restart", "scale"}
)
"""Keys that make no other container: an override takes some of them over, and compose heeds the others elsewhere."""


def digest(service: Service, raw: Table, lock: str) -> str:
    """`raw`: its text, for what only containers use of it. `lock`: the hash of its lock file, empty without one."""
    local = service.local
    package = local.package if local else None
    started_with = {
        "image": service.image,
        "command": _text(raw.get("command")),
        "entrypoint": _text(raw.get("entrypoint")),
        "ports": [(port.name, port.number, port.protocol) for port in service.ports],
        "environment": sorted(service.environment.items()),
        "volumes": [asdict(volume) for volume in service.volumes],
        "resources": [service.resources.memory_limit, service.resources.cpus],
        "local": local and [local.command, sorted(local.environment.items()), local.expose],
        "package": package and [package.registry, package.requirement, lock],
    }
    return hashlib.sha256(json.dumps(started_with, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def container_digest(service: Service, raw: Table) -> str:
    """The same for a container: everything its text says but for what makes no other one."""
    said: dict[str, object] = {k: v for k, v in raw.items() if k not in _APART and not k.startswith("x-")}
    deploy = said.pop("deploy", None)
    if isinstance(deploy, Table):
        # Neither says how a container is made that an override has no restarts for.
        said |= {f"deploy.{k}": v for k, v in deploy.items() if k not in ("replicas", "restart_policy")}
    started_with = {
        "text": _text(said),
        "ports": [(port.name, port.number, port.protocol) for port in service.ports],
        "environment": sorted(service.environment.items()),
        "volumes": [asdict(volume) for volume in service.volumes],
    }
    return hashlib.sha256(json.dumps(started_with, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def _text(value: object) -> str:
    return json.dumps(value, default=str)
