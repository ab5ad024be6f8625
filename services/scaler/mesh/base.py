"""The seam between the control loop and the gateways: the verbs it has, and what a held request looks like to it.

The mesh decides nothing about services. It publishes, drains and withdraws endpoints when told to, holds the gate's
checks, and reads Envoy's counters. Verbs on one replica supersede each other in the order they were called: `publish`
during a `drain` or `withdraw` makes that one raise Superseded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.catalog.model import Catalog
from services.scaler.core.effects import Refuse
from services.scaler.core.events import DemandKind, Flow, ReplicaId


class Superseded(Exception):
    """A later verb on the same replica took over."""


class Busy(Exception):
    """The replica could not be proven quiet; the message says what stood in the way."""


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """One check of the gate. Its id is the demand's id."""

    id: int
    service: str
    port: str
    kind: DemandKind
    hold: float


@dataclass(frozen=True, slots=True)
class ServiceView:
    """What pages, refusals and health answers say of a service. Plain data, made by the control layer."""

    name: str
    state: str
    phase: str = ""
    detail: str = ""
    progress: float | None = None
    estimate: float | None = None
    """Seconds until the first answer, from this host's own history."""
    queue_position: int | None = None
    reason: str = ""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Of a replica that serves: port name → address. Empty while none does."""


class Demands(Protocol):
    """What the gate asks of the layer above."""

    def demand(self, request: HeldRequest) -> None:
        """Ends, later or before this returns, in one call of Mesh.release or Mesh.refuse, unless `left` comes first."""

    def left(self, request_id: int) -> None: ...

    def view(self, service: str) -> ServiceView | None:
        """None: no such service."""

    def views(self) -> Mapping[str, ServiceView]: ...


class Mesh(Protocol):
    def configure(self, catalog: Catalog) -> None:
        """Write clusters, routes and listeners. Endpoints that are published stay."""

    def publish(self, replica: ReplicaId, service: str, endpoints: Mapping[str, str]) -> None:
        """Serve these endpoints (port name → `127.0.0.1:PORT`). At once in the snapshot; acks are not awaited."""

    async def drain(self, replica: ReplicaId, *, despite_silent: bool = False) -> None:
        """DRAINING at every live gateway, acked, 20 ms more, then nothing in flight and nothing pending, twice.
        `despite_silent`: what is in flight does not count (a websocket that was silent for too long).
        Raises Busy (then it is published again by the caller) or Superseded."""

    async def withdraw(self, replica: ReplicaId, *, urgent: bool = False) -> bool:
        """Take the endpoints out at every live gateway, acked or timed out. Returns whether any request had reached the
        replica since `drain` ended. `urgent`: returns at once. Raises Superseded."""

    async def moved(self, replica: ReplicaId) -> bool:
        """One more look after the freeze: has a request reached the replica since `drain` ended? True where nobody
        can tell."""

    def forget(self, replica: ReplicaId) -> None:
        """The replica is gone for good; its address may be issued again."""

    def release(self, request_id: int, replica: ReplicaId, endpoint: str) -> None:
        """Answer one held check. Those of one replica go out in slices. Unknown ids are ignored (the client left)."""

    def refuse(self, refusal: Refuse) -> None:
        """End one held check with what its client can understand: JSON, page or gRPC status."""

    async def flows(self) -> Mapping[str, Flow] | None:
        """In flight and total per service, `~bg` apart; None where no gateway answers."""


OnGateway = Callable[[bool], None]
"""Told when the first gateway connects (True) and when the last one is lost (False)."""
