"""Catalogue files for tests: compose services whose programs are the upstreams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from services.layout import Layout
from tests.support.upstreams import Faulty, Upstream


def duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


@dataclass(frozen=True, slots=True)
class Rests:
    """When a service rests; seconds."""

    idle: float = 300.0
    stop_after: float = 900.0
    rest: str = "paused"

    def fields(self) -> dict[str, Any]:
        return {"idle_timeout": duration(self.idle), "stop_after": duration(self.stop_after), "rest": self.rest}


def entry(
    command: Sequence[str],
    rests: Rests | None = None,
    *,
    health: str = "/health",
    hold: float = 60.0,
    start_timeout: float = 30.0,
    memory: str | None = None,
    hub: Mapping[str, Any] | None = None,
    compose: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One compose service. `hub` is merged into `x-hub`, `compose` into the service."""
    x_hub: dict[str, Any] = {
        "port": 8080,
        "health": health,
        "scaling": (rests or Rests()).fields(),
        "wake": {"hold": duration(hold), "start_timeout": duration(start_timeout)},
        "local": {"command": list(command)},
    }
    for key, value in (hub or {}).items():
        x_hub[key] = {**x_hub.get(key, {}), **value} if isinstance(value, Mapping) else value
    service: dict[str, Any] = {"image": "example/upstream:1", "profiles": ["on-demand"], "expose": ["8080"]}
    if memory:
        service["deploy"] = {"resources": {"limits": {"memory": memory}}}
    return {**service, **(compose or {}), "x-hub": x_hub}


def write(file: Path, services: Mapping[str, Any]) -> None:
    """Replace the file in one step, as an editor does."""
    fresh = file.with_suffix(".new")
    fresh.write_text(yaml.safe_dump({"services": dict(services)}, sort_keys=False))
    fresh.replace(file)


class Workshop:
    """Makes upstreams whose records lie in one folder, and finds them again by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, Upstream | Faulty] = {}

    def upstream(
        self, name: str, kind: str = "asyncio", *arguments: str, rests: Rests | None = None, **more: Any
    ) -> Any:
        made = Upstream(kind, self.folder / f"{name}.events", arguments)
        self._made[name] = made
        return entry(made.command(), rests, **more)

    def faulty(self, name: str, habit: str, rests: Rests | None = None, **more: Any) -> dict[str, Any]:
        made = Faulty(habit, self.folder / f"{name}.events")
        self._made[name] = made
        return entry(made.command(), rests, **more)

    def starts(self, name: str) -> int:
        """How often the program was started, told by itself."""
        return self._made[name].starts

    def posts(self, name: str) -> list[str]:
        made = self._made[name]
        return made.posts if isinstance(made, Upstream) else []


def replica_records(data: Path) -> list[Path]:
    return sorted(Layout.at(data).replicas.iterdir())
