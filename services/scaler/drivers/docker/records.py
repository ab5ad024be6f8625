"""Which replica is which container. What a container is doing now the engine tells; who asked for it, and that a stop
had begun, only the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.scaler.core.events import ReplicaId
from services.scaler.drivers.base import Running
from services.scaler.drivers.records import Phase, RecordFolder


@dataclass(frozen=True, slots=True)
class Record:
    replica: ReplicaId
    service: str
    digest: str
    phase: Phase
    container: str
    """The engine's id of it."""
    name: str
    """Of the container."""
    lazy: bool = True
    """Ours to pause and stop."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    pid: int | None = None

    @property
    def running(self) -> Running:
        return Running(self.endpoints, self.pid, self.name)


class Records(RecordFolder[Record]):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Record)


__all__ = ["Phase", "Record", "Records"]
