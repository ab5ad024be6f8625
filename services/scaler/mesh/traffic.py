"""From counters to flows: gateways are summed, what is held is taken off, and how long nothing has moved is remembered.
Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from services.scaler.core.events import Flow
from services.scaler.mesh.envoy_counters import Counts


class Traffic:
    """Keeps, per service, how many requests there were in all and when its bytes last moved."""

    def __init__(self) -> None:
        self._moved: dict[str, tuple[int, float]] = {}
        self._seen: dict[str, dict[str, int]] = {}
        self._totals: dict[str, int] = {}

    def flows(
        self, readings: Mapping[str, Mapping[str, Counts]], held: Mapping[str, int], now: float
    ) -> Mapping[str, Flow]:
        """`readings`: counts of each service by the name of the gateway. `held`: requests per service that were held
        during the whole reading. `now`: seconds of any steady clock. A total never falls, though a gateway may go and
        another begin at zero."""
        services = set().union(*readings.values())
        self._drop(services)
        return {name: self._flow(name, readings, held.get(name, 0), now) for name in services}

    def _flow(self, name: str, readings: Mapping[str, Mapping[str, Counts]], held: int, now: float) -> Flow:
        counts = {gateway: reading[name] for gateway, reading in readings.items() if name in reading}
        active = max(0, sum(count.active for count in counts.values()) - held)
        moved = sum(count.moved_bytes for count in counts.values())
        before, since = self._moved.get(name, (-1, now))
        if before != moved or not active:
            since = now
        self._moved[name] = (moved, since)
        return Flow(active, self._total(name, counts), now - since)

    def _total(self, name: str, counts: Mapping[str, Counts]) -> int:
        seen = self._seen.setdefault(name, {})
        for gateway, count in counts.items():
            before = seen.get(gateway, 0)
            # Less than before: that gateway has begun anew.
            grown = count.total - before if count.total >= before else count.total
            self._totals[name] = self._totals.get(name, 0) + grown
            seen[gateway] = count.total
        return self._totals.get(name, 0)

    def _drop(self, services: Collection[str]) -> None:
        for name in self._moved.keys() - set(services):
            del self._moved[name], self._seen[name]
            self._totals.pop(name, None)
