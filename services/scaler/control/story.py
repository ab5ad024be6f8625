"""The last decisions of each service, for `aihub explain`."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass

_KEPT = 50


@dataclass(frozen=True, slots=True)
class Told:
    at: float
    """Seconds since the epoch."""
    what: str
    reason: str


class Story:
    def __init__(self) -> None:
        self._told: dict[str, deque[Told]] = defaultdict(lambda: deque(maxlen=_KEPT))

    def tell(self, at: float, service: str, what: str, reason: str) -> None:
        self._told[service].append(Told(at, what, reason))

    def of(self, service: str) -> list[Told]:
        """Oldest first."""
        return list(self._told.get(service, ()))
