"""What every gateway shall know of endpoints: one immutable value per cluster, and the serial at which each changed.

Pure. A version is a hash of the content, so it means the same before and after a restart of the scaler: a gateway that
comes back with it is sent only what differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    address: str
    """`127.0.0.1:PORT`"""
    draining: bool = False
    """Serves what it has and gets nothing new; keeps its own row among the gateway's counters."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Priority 0: the endpoints. Priority 1: the gate."""

    cluster: str
    endpoints: tuple[Endpoint, ...] = ()
    gate: bool = True
    """False for plain TCP, which nobody can hold."""

    @property
    def version(self) -> str:
        text = "|".join(f"{e.address}{'-' if e.draining else '+'}" for e in self.endpoints)
        return hashlib.blake2b(f"1{self.gate:d}{text}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Snapshot:
    serial: int = 0
    """Rises with every change."""
    assignments: Mapping[str, Assignment] = field(default_factory=lambda: MappingProxyType({}))
    changed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Cluster → serial of its last change."""

    def assignment(self, cluster: str) -> Assignment:
        """A cluster that nobody knows is asleep: its requests reach the gate and are answered there."""
        return self.assignments.get(cluster) or Assignment(cluster)

    def changed_at(self, cluster: str) -> int:
        return self.changed.get(cluster, 0)

    def of(self, assignments: Iterable[Assignment]) -> Snapshot:
        """The same with these in place of what their clusters had; itself where nothing differs."""
        differing = {a.cluster: a for a in assignments if self.assignment(a.cluster) != a}
        if not differing:
            return self
        serial = self.serial + 1
        changed = {**self.changed, **dict.fromkeys(differing, serial)}
        return Snapshot(serial, MappingProxyType({**self.assignments, **differing}), MappingProxyType(changed))
