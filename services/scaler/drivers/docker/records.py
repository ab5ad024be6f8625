"""Which replica is which container, written down so that a driver that comes after a `kill -9` knows what it finds.

A record is written before its container is started and before each step that a later life could not see in the engine
(that a stop had begun). What a container is doing now the engine tells; who asked for it, only the record.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from services.scaler.core.events import ReplicaId

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
    container: str
    """The engine's id of it."""
    name: str
    """Of the container."""
    lazy: bool = True
    """Ours to pause and stop."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    pid: int | None = None


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
        """As `write`, for a step that must not fail for want of disk: adoption asks the engine too."""
        try:
            self.write(record)
        except OSError as error:
            log.warning("that %s is %s cannot be written down: %s", record.replica, record.phase, error)

    def remove(self, replica: ReplicaId) -> None:
        self._path(replica).unlink(missing_ok=True)

    def load(self) -> Iterator[Record]:
        """Every readable record. One that cannot be read is removed: its container is then found as somebody else's."""
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
