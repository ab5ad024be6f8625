"""What the fleet wants done. Each is carried out once, by the control loop, and answered by the event it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.scaler.core.events import ReplicaId


class Refusal(StrEnum):
    """Why a demand was not served; each edge has one table from these to its own codes."""

    WAITING = "waiting"
    """The hold limit came first; the wake goes on."""
    FAILED = "failed"
    """The service could not be started."""
    BACKOFF = "backoff"
    """It failed a moment ago and is left alone for a while."""
    NO_ROOM = "no-room"
    """The memory budget has no place for it."""
    UNAVAILABLE = "unavailable"
    """This platform cannot run it, or the catalogue has no such service."""
    CROWDED = "crowded"
    """Too many held requests."""
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Prepare:
    """Install or pull what the service needs → Prepared | PrepareFailed, Progress meanwhile. Idempotent."""

    service: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start a replica and see it ready → Started, then Ready; or StartFailed (nothing is left of it then)."""

    replica: ReplicaId
    service: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Watch:
    """See an adopted replica ready → Ready | StartFailed."""

    replica: ReplicaId
    service: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Make the endpoints serve. Supersedes a drain or withdrawal under way. No answer."""

    replica: ReplicaId
    service: str
    endpoints: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measure:
    """Read its memory and CPU now, for its rest is due → Measured. One that comes to nothing needs no answer: all are
    read every few seconds anyway."""

    replica: ReplicaId
    service: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Mark DRAINING, see it quiet → Drained | DrainRefused."""

    replica: ReplicaId
    service: str
    attempt: int
    despite_silent: bool = False
    """What is in flight has been silent for longer than the catalogue lets it count: it is not waited for."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take the endpoints out → Withdrawn. `urgent`: the program is gone, nobody waits for quiet and nobody answers."""

    replica: ReplicaId
    service: str
    attempt: int
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Freeze the whole tree, then look once more → Paused(moved) | PauseFailed."""

    replica: ReplicaId
    service: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Thaw the whole tree, see it answer → Resumed | ResumeFailed."""

    replica: ReplicaId
    service: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Thaw, SIGTERM, grace, SIGKILL, all of the tree → Stopped."""

    replica: ReplicaId
    service: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Let one held demand go on to this replica. The demand is over."""

    demand: int
    replica: ReplicaId
    endpoint: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """End one demand without an answer of the service. The demand is over."""

    demand: int
    refusal: Refusal
    reason: str
    retry_after: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision for people: logged once, kept for `explain`."""

    service: str
    what: str
    reason: str


Effect = (
    Prepare | Start | Watch | Publish | Measure | Drain | Withdraw | Pause | Resume | Stop | Release | Refuse | Decided
)
