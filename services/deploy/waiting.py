"""Waiting: for the services that the hub keeps awake, told as they change, and for containers just thawed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from services.cli.failure import Failure
from services.cli.hub import Hub
from services.deploy.docker import Compose
from services.layout import Layout

_PATIENCE = 1800.0
"""Seconds: the first time their images are pulled, some of several gigabytes."""
_LOOK = 0.5
_ENDED = ("ready", "draining", "failed", "unavailable")


def until_awake(
    layout: Layout, names: Sequence[str], say: Callable[[str], None], *, patience: float = _PATIENCE
) -> None:
    """Return when each is awake, or has failed, which is told; a hub that goes on without us is no failure of ours."""
    hub, told = Hub(layout), dict[str, str]()
    until = time.monotonic() + patience
    while names and time.monotonic() < until:
        try:
            services = hub.status()["services"]
        except Failure as failure:
            say(f"the hub: {failure}")
            return
        for name in names:
            line = _line(services.get(name) or {"state": "not in the hub's catalogue"})
            if told.get(name) != line:
                say(f"{name}: {line}")
                told[name] = line
        # One that was never asked to run is `stopped` until the hub has read its new settings.
        if all(_ended(services.get(name)) for name in names):
            return
        time.sleep(_LOOK)


def until_looked_at(compose: Compose, names: Collection[str], *, patience: float = 30.0) -> None:
    """A container that was frozen for its copy counts as unhealthy from its thaw until it is looked at again, and
    compose gives up at the first that does. One that really is unhealthy stays so, and compose says it."""
    until = time.monotonic() + patience
    while time.monotonic() < until and any(
        one.service in names and one.state == "running" and one.health == "unhealthy" for one in compose.containers()
    ):
        time.sleep(_LOOK)


def _ended(service: dict[str, Any] | None) -> bool:
    return service is None or service["state"] in _ENDED


def _line(service: dict[str, Any]) -> str:
    why = service.get("reason") if service["state"] in ("failed", "unavailable", "installing", "queued") else ""
    return f"{service['state']}{f': {why}' if why else ''}"
