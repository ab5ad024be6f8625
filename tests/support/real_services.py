"""Entries of the hub's own catalogue for a hub in a folder of its own: the same packages, locks and commands.

Only their fixed ports are left out, so that it disturbs no hub that runs on the machine already, and the bind mounts
and networks, which mean nothing without Docker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.hub import Hub, HubFailed

CHECKOUT = Path(__file__).resolve().parents[2]


def local_services() -> dict[str, dict[str, Any]]:
    """Every service that can run here without Docker, in the order of the files."""
    found: dict[str, dict[str, Any]] = {}
    top = CHECKOUT / "docker-compose.distributed-ai.yml"
    for path in (top, *(CHECKOUT / file for file in yaml.safe_load(top.read_text())["include"])):
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            if "local" in service.get("x-hub", {}):
                found[name] = _alone(service, path.parent)
    return found


def _alone(service: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    kept = {key: value for key, value in service.items() if key not in ("ports", "networks")}
    kept["volumes"] = [volume for volume in service.get("volumes", []) if not volume.startswith((".", "/"))]
    local = dict(service["x-hub"]["local"])
    if "lock" in local:
        local["lock"] = str(folder / local["lock"])
    kept["x-hub"] = {**service["x-hub"], "local": local}
    return kept


def volumes(services: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The declarations of the volumes that these services name."""
    return {volume.partition(":")[0]: {} for service in services.values() for volume in service["volumes"]}


@contextmanager
def hub_of(
    folder: Path, services: Mapping[str, Mapping[str, Any]], dotenv: Mapping[str, str] | None = None
) -> Iterator[Hub]:
    """A hub of these entries, with this `.env` beside its catalogue; afterwards nothing of it lives."""
    hub = Hub(folder, {})
    hub.catalogue.write_text(yaml.safe_dump({"services": dict(services), "volumes": volumes(services)}))
    lines = [f"{name}={value}\n" for name, value in (dotenv or {}).items()]
    (folder / ".env").write_text("".join(lines))
    try:
        hub.up()
        yield hub
        hub.down()
        if left := hub.left():
            raise HubFailed(f"processes {sorted(left)} outlive the hub\n{hub.said()}")
    finally:
        hub.end()
