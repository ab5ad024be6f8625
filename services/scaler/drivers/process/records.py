"""What is written down about each replica, so that a driver that comes after a `kill -9` knows what it finds.

A record is written before the program is begun and before each step of its life, so at every moment the record says
at least as much as has happened. Without room for the first one nothing is begun; without room for a later one the step
is taken all the same, for a program that could not be ended would be worse. Written by rename; not synced to disk,
since nothing it tells of outlives a power cut.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from services.scaler.core.events import ReplicaId
from services.scaler.drivers.process.proc import Identity

log = logging.getLogger(__name__)


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    STOPPING = "stopping"


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


class Records:
    """The folder of records, one file a replica."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, record: Record) -> None:
        """Raises OSError."""
        path = self._path(record.replica)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(record)))
        partial.replace(path)

    def note(self, record: Record) -> None:
        """As `write`, for a step that must not fail for want of disk: adoption looks at the program itself."""
        try:
            self.write(record)
        except OSError as error:
            log.warning("that %s is %s cannot be written down: %s", record.replica, record.phase, error)

    def remove(self, replica: ReplicaId) -> None:
        self._path(replica).unlink(missing_ok=True)

    def load(self) -> Iterator[Record]:
        """Every readable record. One that cannot be read is removed: its processes are then found as strays."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                fields = json.loads(path.read_text())
                yield Record(**{**fields, "phase": Phase(fields["phase"])})
            except (OSError, ValueError, TypeError, KeyError) as error:
                log.warning("replica record %s cannot be read and is dropped: %s", path.name, error)
                path.unlink(missing_ok=True)
        for partial in self._folder.glob("*.partial"):
            partial.unlink(missing_ok=True)

    def _path(self, replica: ReplicaId) -> Path:
        if os.sep in replica or replica.startswith("."):
            raise ValueError(f"{replica!r} is no replica id")
        return self._folder / f"{replica}.json"
