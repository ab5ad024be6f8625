"""What a driver writes down of each replica, so that the one that comes after a `kill -9` knows what it finds.

A record is written before its deed and before each step that a later life could not see by itself, so at every moment
it says at least as much as has happened. Without room for the first one nothing is begun; without room for a later one
the step is taken all the same, for a replica that could not be ended would be worse. Written by rename; not synced to
disk, since nothing it tells of outlives a power cut.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from services.scaler.core.events import ReplicaId

log = logging.getLogger(__name__)


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    STOPPING = "stopping"


class Recorded(Protocol):
    """A dataclass of plain values with at least these."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def replica(self) -> ReplicaId: ...
    @property
    def phase(self) -> Phase: ...


R = TypeVar("R", bound=Recorded)


class RecordFolder(Generic[R]):
    """One file a replica. `kind` makes a record of its fields."""

    def __init__(self, folder: Path, kind: Callable[..., R]) -> None:
        self._folder = folder
        self._kind = kind

    def write(self, record: R) -> None:
        """Raises OSError."""
        path = self._path(record.replica)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(record)))
        partial.replace(path)

    def note(self, record: R) -> None:
        """As `write`, for a step that must not fail for want of disk: adoption looks at the replica itself."""
        try:
            self.write(record)
        except OSError as error:
            log.warning("that %s is %s cannot be written down: %s", record.replica, record.phase, error)

    def remove(self, replica: ReplicaId) -> None:
        self._path(replica).unlink(missing_ok=True)

    def load(self) -> Iterator[R]:
        """Every readable record of this kind. One that cannot be read is removed: its replica is then found as a stray.
        One of another driver stays: whoever ends the hub still ends what it tells of."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                fields = json.loads(path.read_text())
                if not isinstance(fields, dict):
                    raise ValueError("it is no mapping")
                yield self._kind(**{**fields, "phase": Phase(fields["phase"])})
            except TypeError:
                log.warning("replica record %s is of another driver; what it tells of is not taken up", path.name)
            except (OSError, ValueError, KeyError) as error:
                log.warning("replica record %s cannot be read and is dropped: %s", path.name, error)
                path.unlink(missing_ok=True)
        for partial in self._folder.glob("*.partial"):
            partial.unlink(missing_ok=True)

    def _path(self, replica: ReplicaId) -> Path:
        if os.sep in replica or replica.startswith("."):
            raise ValueError(f"{replica!r} is no replica id")
        return self._folder / f"{replica}.json"
