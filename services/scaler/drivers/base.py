"""The contract of every driver: what runs a replica, rests it and ends it, and what is promised about each verb.

A driver does what it is told and decides nothing. News that nobody asked for (an exit, somebody else's hand) goes up
through the `post` it was given. Every verb is an intent: asked for twice, it ends in the same state. Cancelling a verb
leaves the replica in a state that `adopt` of a new driver can tell; no verb blocks the event loop for more than a few
milliseconds.

    DriverError
    ├── PrepareError    the platform has not got what the service needs (no network, no such package, no disk)
    │   └── NotOurs         the service is for somebody else to start, who has not done it (yet)
    ├── StartError      the program did not become ready: died, never answered, listens elsewhere
    │   ├── Interrupted     somebody else has ended it meanwhile, which says nothing about the program
    │   └── Finished        it was a task, and has done its work already
    └── PauseError      the tree cannot be frozen or thawed
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.catalog.addresses import Addresses
from services.catalog.model import Catalog, Service
from services.scaler.core.events import Adopted, Event, Measured, ReplicaId

Post = Callable[[Event], None]
ProgressReport = Callable[[str, float | None, str], None]
"""phase, fraction (0..1 or None where unknown), detail."""


class DriverError(Exception):
    """The message is for the waiting caller: what went wrong, with the value, and what mends it."""


class PrepareError(DriverError):
    pass


class NotOurs(PrepareError):
    pass


class StartError(DriverError):
    pass


class Interrupted(StartError):
    pass


class Finished(StartError):
    pass


class Left(StartError):
    pass


class PauseError(DriverError):
    pass


@dataclass(frozen=True, slots=True)
class Running:
    endpoints: Mapping[str, str]
    """Port name → `127.0.0.1:PORT`, of a container `ADDRESS:PORT`."""
    pid: int | None
    container: str | None = None
    """Name of the container; None for a process."""


class Driver(Protocol):
    """Runs replicas of one platform."""

    def configure(self, catalog: Catalog, where: Mapping[str, Addresses]) -> None:
        """Take in a new catalogue. `where`: service name → its addresses (`internal` for {url:NAME}, `origin` for
        {public_url}). Running replicas are not touched."""

    def unavailable(self, service: Service) -> str | None:
        """Why this platform can never run the service as it is written; None where it can."""

    async def adopt(self) -> Sequence[Adopted]:
        """What an earlier life of this driver left running, in a known state each: half-frozen trees are thawed,
        half-begun stops are finished first or reported as `stopping`. Ends what belongs to no replica. Called once,
        before any other verb."""

    async def prepare(self, service: Service, report: ProgressReport) -> None:
        """Install what is missing; returns at once where nothing is. One installation runs at a time; a cancelled one
        can be taken up again. Raises PrepareError."""

    async def start(self, service: Service, replica: ReplicaId) -> Running:
        """Begin the program in a session of its own, data kept, log open. Returns as soon as it runs, before it is
        ready. Raises StartError."""

    async def ready(self, service: Service, replica: ReplicaId) -> None:
        """Return at the moment the health path answers 2xx by a listener of the replica's own tree. Raises StartError
        (died: with exit code and the last lines of its log; start_timeout: with what it does listen on), Interrupted
        where the platform can tell that somebody else has ended it. On an error nothing is left of the replica."""

    async def pause(self, service: Service, replica: ReplicaId) -> None:
        """Freeze every process of the tree. Idempotent. Raises PauseError, and then the tree runs."""

    async def resume(self, service: Service, replica: ReplicaId) -> None:
        """Thaw the whole tree and see its health answer. Idempotent. Raises PauseError; the tree is then dead."""

    async def stop(self, service: Service, replica: ReplicaId) -> str:
        """Thaw, the service's stop signal, grace, SIGKILL; returns when no process of the tree is left, with one line
        on how it ended. Idempotent: a replica that is gone is a success. Its ports may be issued again afterwards."""

    def alive(self, replica: ReplicaId) -> bool:
        """Whether the root program lives right now; asked for each request that the gate holds although the replica
        serves, so it costs one system call."""

    def ended_by_hand(self, replica: ReplicaId) -> bool:
        """Whether somebody else has just told it to end, so that its end says nothing about the program."""

    async def measure(self, replicas: Sequence[ReplicaId]) -> Sequence[Measured]:
        """Memory and CPU now; a replica that has gone is absent from the answer."""

    def container(self, replica: ReplicaId) -> str | None:
        """Name of the replica's container; None where it has none."""

    def pausable(self, name: str) -> str | None:
        """Why the service is stopped instead of paused; None where it may be paused."""

    def installed(self, service: Service) -> bool:
        """Whether a wake would find all of it here."""

    def describe(self) -> Sequence[tuple[str, str, bool, str]]:
        """For `doctor`: name, detail, whether it is well, remedy."""

    def df(self) -> Mapping[str, Any]:
        """Bytes on disk by service and kind. Blocks; called from a thread."""

    def prune(self, names: Collection[str] | None, running: Collection[str], *, cache: bool) -> Mapping[str, Any]:
        """Remove what can be installed again (all, or of those named) of services that do not run; never data. Blocks;
        called from a thread."""

    async def close(self) -> None:
        """Let go of watchers and files. Ends no replica."""


Drive = Callable[[Post], Awaitable[Driver]]
