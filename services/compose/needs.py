"""Who needs whom in compose projects, as far as their files show it: said outright, or only named in an environment.

Owns that index, made once a reading; everything in it stays within one project.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from services.catalog.model import Condition, Service

_WORD = re.compile(r"(?:(?<=[/@,\s=])|^)[A-Za-z0-9][A-Za-z0-9_.-]*(?=$|[:/,\s?])")
"""What may be a host in `db`, `db:5432`, `postgres://u@db/x`, `a,b`."""


def needs_tcp(service: Service) -> bool:
    """Whether no traffic wakes it, so that it is awake whenever somebody who needs it is."""
    return not service.http_ports


class Needs:
    """`services`: by the hub's names, as all names here are."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._needing: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._named: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._holders: dict[str, str] = {}
        self._waiters: dict[str, str] = {}
        hosts = _hosts(services.values())
        for name, service in services.items():
            for dependency in service.depends_on:
                self._needing[dependency.service][name] = None
                if dependency.condition is Condition.COMPLETED:
                    self._waiters.setdefault(dependency.service, name)
            for other in service.uses:
                self._needing[other][name] = None
            self._look(service, hosts)

    def needing(self, name: str) -> tuple[str, ...]:
        """Who needs a service; where it speaks no HTTP, those too that only name it in their environment."""
        return tuple(self._needing.get(name, ()))

    def named_by(self, name: str) -> tuple[str, ...]:
        """Services without HTTP that a service names in its environment as hosts."""
        return tuple(self._named.get(name, ()))

    def holder(self, name: str) -> str | None:
        """Somebody who needs the very container of a service."""
        return self._holders.get(name)

    def waiter(self, name: str) -> str | None:
        """Somebody who waits for a service to end."""
        return self._waiters.get(name)

    def _look(self, service: Service, hosts: Mapping[tuple[str, str], Service]) -> None:
        inside = service.containers
        if inside is None:
            return
        for other in inside.bound_to:
            if (held := hosts.get((inside.stack, other))) is not None:
                self._holders.setdefault(held.name, service.name)
        for text in service.environment.values():
            for word in _WORD.findall(text):
                named = hosts.get((inside.stack, word))
                if named is not None and named is not service and needs_tcp(named):
                    self._needing[named.name][service.name] = None
                    self._named[service.name][named.name] = None


def _hosts(services: Iterable[Service]) -> dict[tuple[str, str], Service]:
    """(project, what a neighbour calls it) → service."""
    found: dict[tuple[str, str], Service] = {}
    for service in services:
        inside = service.containers
        if inside is None:
            continue
        names = [inside.name, *(alias for aliases in inside.networks.values() for alias in aliases)]
        for name in (*names, *([inside.container_name] if inside.container_name else [])):
            found.setdefault((inside.stack, name), service)
    return found
