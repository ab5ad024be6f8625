"""The contract of what keeps a service's data: copying them, putting a copy in their place, changing to newer versions.

Beside `Driver`, since a replica comes and goes and its data stay. The caller sees to it that nothing of the service
runs, or that it is frozen; nothing here decides that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.catalog.model import Service
from services.scaler.drivers.base import DriverError, ProgressReport


class KeepError(DriverError):
    """Data could not be copied or put back; where it could not be put back, what was there is there again."""


@dataclass(frozen=True, slots=True)
class Newer:
    """A version that was fetched and is not in use yet. `before`, `after`: what to tell people apart by."""

    before: str
    after: str


class Keeping(Protocol):
    async def parts(self, service: Service) -> Sequence[str]:
        """What is kept of the service, by name; empty where nothing is. Raises KeepError."""

    def save(self, service: Service) -> AsyncIterator[bytes]:
        """All of it as one tar. Raises KeepError, also in the midst."""

    async def load(self, service: Service, archive: AsyncIterator[bytes]) -> None:
        """Put what `save` gave in the place of what is there: all of it, or nothing. Raises KeepError, and what
        `archive` raises."""

    async def freeze(self, service: Service) -> bool:
        """Hold still what the hub does not run itself; whether anything ran. Raises KeepError."""

    async def thaw(self, service: Service) -> None:
        """Raises KeepError."""

    async def halt(self, service: Service) -> bool:
        """End what the hub does not run itself; whether anything ran. Raises KeepError."""

    async def go_on(self, service: Service) -> None:
        """Start again what `halt` has ended. Raises KeepError."""

    async def fetch(self, service: Service, report: ProgressReport) -> Newer | None:
        """Have the newest version that the catalogue's entry allows, without using it yet; None where that is in use
        already. Raises PrepareError, KeepError."""

    async def back(self, service: Service, newer: Newer) -> None:
        """Use the version before it again. Raises KeepError."""

    def logs(self, service: Service, tail: int, *, follow: bool) -> AsyncIterator[bytes] | None:
        """What its newest container has written, last lines first given; None where the hub writes logs itself. Raises
        KeepError."""
