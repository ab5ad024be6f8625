"""From counters to flows: what is held is taken off, and how long nothing has moved is remembered. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from services.scaler.core.events import Flow
from services.scaler.mesh.envoy_counters import Counts


class Traffic:
    """Keeps, per service, when its bytes last moved."""

    def __init__(self) -> None:
        self._moved: dict[str, tuple[int, float]] = {}

    def flows(self, counts: Mapping[str, Counts], held: Mapping[str, int], now: float) -> Mapping[str, Flow]:
        """`held`: requests per service that were held during the whole reading. `now`: seconds of any steady clock."""
        self._drop(counts)
        return {name: self._flow(name, count, held.get(name, 0), now) for name, count in counts.items()}

    def _flow(self, name: str, count: Counts, held: int, now: float) -> Flow:
        active = max(0, count.active - held)
        seen, since = self._moved.get(name, (-1, now))
        if seen != count.moved_bytes or not active:
            since = now
        self._moved[name] = (count.moved_bytes, since)
        return Flow(active, count.total, now - since)

    def _drop(self, counts: Collection[str]) -> None:
        for name in self._moved.keys() - set(counts):
            del self._moved[name]
