"""Which replica is which process: what a record of the process driver holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.scaler.core.events import ReplicaId
from services.scaler.drivers.process.proc import Identity
from services.scaler.drivers.records import Phase, RecordFolder


@dataclass(frozen=True, slots=True)
class Record:
    replica: ReplicaId
    service: str
    digest: str
    phase: Phase
    ports: Mapping[str, int]
    boot: str
    """Boot of the machine it was started in."""
    exposed: bool = False
    """May listen beyond loopback."""
    pid: int | None = None
    """None: written before the program began."""
    start: int = 0
    cgroup: str | None = None
    log_offset: int = 0
    """Where in the service's log this replica's lines begin."""

    @property
    def root(self) -> Identity | None:
        return Identity(self.pid, self.start) if self.pid is not None else None

    @property
    def endpoints(self) -> dict[str, str]:
        return {name: f"127.0.0.1:{number}" for name, number in self.ports.items()}


class Records(RecordFolder[Record]):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Record)


__all__ = ["Phase", "Record", "Records"]
