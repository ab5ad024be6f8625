"""What was made of a service, kept for as long as the service stays the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from services.catalog.model import Service

T = TypeVar("T")


@dataclass(slots=True)
class _Made:
    service: Service
    things: dict[Hashable, Any] = field(default_factory=dict)


class Kept:
    """For one place: what is made must follow from the service, from `what`, and from what never changes."""

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}

    def of(self, service: Service, what: Hashable, make: Callable[[], T]) -> T:
        """What was made of the same service under the same name before, else what `make` makes now."""
        made = self._made.get(service.name)
        if made is None or not _same(made.service, service):
            made = self._made[service.name] = _Made(service)
        made.service = service
        if what not in made.things:
            made.things[what] = make()
        thing: T = made.things[what]
        return thing

    def forget_others(self, names: Collection[str]) -> None:
        """Let go of services that are no more."""
        for name in self._made.keys() - names:
            del self._made[name]


def _same(one: Service, other: Service) -> bool:
    """A service that has only moved within its file is the same."""
    return one is other or replace(one, source=other.source) == other
