"""Everything that can happen to the fleet. An effect's outcome is an event too, so each cause can be recorded.

Frozen values of plain data: the journal writes them as JSON and a test can replay them. `attempt` names the effect
that an outcome belongs to; the fleet drops outcomes of attempts it has given up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.catalog.model import Catalog

ReplicaId = str
"""`SERVICE-N`; N rises for ever, so an id never means two processes."""


class DemandKind(StrEnum):
    REQUEST = "request"
    """A held request: ends released or refused."""
    PAGE = "page"
    """A browser that is shown the waiting page soon; refused with `WAITING` after a short hold."""
    COMMAND = "command"
    """Somebody said `wake`: back-off does not apply."""


@dataclass(frozen=True, slots=True)
class CatalogLoaded:
    catalog: Catalog
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Services this platform cannot run, with the reason."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Somebody wants the service now."""

    id: int
    service: str
    hold: float
    """Seconds from now until the fleet refuses with `WAITING`."""
    kind: DemandKind = DemandKind.REQUEST
    port: str = "main"


@dataclass(frozen=True, slots=True)
class DemandLeft:
    id: int


@dataclass(frozen=True, slots=True)
class SleepAsked:
    """`aihub sleep`: rests an idle service at once; one in use stays awake (the answer says why)."""

    service: str
    to: str = "paused"


@dataclass(frozen=True, slots=True)
class RestartAsked:
    service: str


@dataclass(frozen=True, slots=True)
class PullAsked:
    """Prepare without starting."""

    service: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was installed for the service has been removed."""

    service: str


@dataclass(frozen=True, slots=True)
class PinSet:
    service: str
    until: float | None
    """Same clock as `now`; None: for ever."""


@dataclass(frozen=True, slots=True)
class Unpinned:
    service: str


# -- outcomes of the driver ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """How a preparation goes on; only for people's eyes."""

    service: str
    phase: str
    """`waiting` (another installation runs), `resolving`, `downloading`, `installing` ..."""
    fraction: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    service: str
    attempt: int


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    service: str
    attempt: int
    reason: str
    not_ours: bool = False
    """It is for somebody else to start it, who has not done so (yet)."""


@dataclass(frozen=True, slots=True)
class Started:
    """The program runs (it may not listen yet)."""

    replica: ReplicaId
    attempt: int
    endpoints: Mapping[str, str]
    """Port name → `127.0.0.1:PORT`."""
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """Health answered 2xx by a listener that belongs to the replica."""

    replica: ReplicaId
    attempt: int


class End(StrEnum):
    """What the end of a program says about it."""

    CRASHED = "crashed"
    BY_HAND = "by hand"
    """Nothing: somebody else has ended it."""
    FINISHED = "finished"
    """It has done its work."""
    LEFT = "left"
    """It has failed, and whoever runs it leaves it so: its entry asks for no restart."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """Start or readiness failed; the driver has already ended what it had begun."""

    replica: ReplicaId
    attempt: int
    reason: str
    end: End = End.CRASHED


@dataclass(frozen=True, slots=True)
class Exited:
    """The root program of a replica ended without being asked to, or its container went away."""

    replica: ReplicaId
    reason: str
    end: End = End.CRASHED


@dataclass(frozen=True, slots=True)
class Paused:
    replica: ReplicaId
    attempt: int
    moved: bool = False
    """A request had reached the replica after its withdrawal: it must be thawed and published again."""


@dataclass(frozen=True, slots=True)
class PauseFailed:
    replica: ReplicaId
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """Thawed, and its health answers."""

    replica: ReplicaId
    attempt: int


@dataclass(frozen=True, slots=True)
class ResumeFailed:
    """Thawed in vain; the driver has killed it."""

    replica: ReplicaId
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    replica: ReplicaId
    attempt: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Adopted:
    """Found running when the scaler came (back) up."""

    replica: ReplicaId
    service: str
    endpoints: Mapping[str, str]
    pid: int | None
    phase: str
    """`starting`, `ready`, `paused` or `stopping`."""
    digest: str = ""
    """Of the catalogue entry it was started with."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """A new life of the scaler: all that is known of the world now, in one event, so that nothing is decided from half
    of it. Nobody waits any more; what an earlier life left running is in `found`."""

    catalog: Catalog
    unavailable: Mapping[str, str] = field(default_factory=dict)
    budget: Mapping[str, int] = field(default_factory=dict)
    found: tuple[Adopted, ...] = ()


@dataclass(frozen=True, slots=True)
class Appeared:
    """Somebody else started a replica by hand, and it serves (or is frozen): `found.phase` is `ready` or `paused`. One
    that the fleet is starting itself is never told so."""

    found: Adopted


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    """The hub ends: everybody who waits is told so, every replica is stopped, nothing is started any more."""


@dataclass(frozen=True, slots=True)
class Meddled:
    """Somebody else paused, resumed or stopped a replica."""

    replica: ReplicaId
    now: str
    """`paused` or `running`."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """The program lives, but no longer listens where it did when it became ready. May be told again and again."""

    replica: ReplicaId
    reason: str


# -- outcomes of the mesh --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drained:
    """No request reaches the replica, none is in flight; still published as DRAINING."""

    replica: ReplicaId
    attempt: int


@dataclass(frozen=True, slots=True)
class DrainRefused:
    """Requests are in flight, or no gateway can vouch for it: the replica stays."""

    replica: ReplicaId
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """No live gateway has the endpoint any more."""

    replica: ReplicaId
    attempt: int
    moved: bool = False


# -- signals -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests of one service as all gateways together count them, background requests apart."""

    active: int
    """In flight now, held ones not counted."""
    total: int
    """Begun so far; only a change matters (it restarts with a gateway)."""
    silent: float = 0.0
    """Seconds for which no byte moved although requests are in flight."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One reading. A service that is absent has no valid figure: nothing is decided from it."""

    flows: Mapping[str, Flow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    replica: ReplicaId
    memory: int
    """Bytes resident now."""
    cpu: float
    """Seconds of CPU used in the last 60 s, since the replica became ready or was thawed, divided by 60. What the start
    itself costs does not count, or a heavy start would keep a service awake for a minute."""
    busy: bool = False
    """The service's own busy probe said so."""
    lately: float = 0.0
    """The same over the idle timeout alone where that is less than a minute, one second at least: work that has just
    begun does not show in a minute's average yet."""
    callers: int = 0
    """Connections at ports of its own that lead past the gateway, which knows nothing of them."""


@dataclass(frozen=True, slots=True)
class BudgetSet:
    """What the host gives to services. Resource name (`memory`) → amount in bytes."""

    amounts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by; nothing else."""


Event = (
    CatalogLoaded | Restarted | Demand | DemandLeft | SleepAsked | RestartAsked | PullAsked | Pruned | PinSet | Unpinned
    | Progress | Prepared | PrepareFailed | Started | Ready | StartFailed | Exited | Paused | PauseFailed
    | Resumed | ResumeFailed | Stopped | Appeared | ShutdownAsked | Meddled | Deaf | Drained | DrainRefused | Withdrawn
    | Traffic | Measured | BudgetSet | Tick
)  # fmt: skip
