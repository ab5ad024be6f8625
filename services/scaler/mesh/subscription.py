"""One stream's side of delta xDS: what a gateway has asked for, been sent and acknowledged. Pure.

A gateway that refused a version (nack) keeps what it had; the same content isn't sent to it again, the next change is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from services.scaler.mesh.snapshot import Assignment, Snapshot


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the gateway, without what the transport alone needs."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Versions that it kept from an earlier stream."""
    nonce: str = ""
    """Of the answer that this request acknowledges."""
    error: str | None = None
    """Why it refused that answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    nonce: str
    serial: int
    assignments: tuple[Assignment, ...]


class Subscription:
    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._count = 0
        self._names: set[str] = set()
        self._sent: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._acked: dict[str, int] = {}
        self._in_flight: dict[str, Answer] = {}
        self._refused: set[str] = set()
        self._stirred: set[str] = set()
        self._seen = 0

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._names)

    @property
    def unanswered(self) -> int:
        """Answers that are neither acknowledged nor refused."""
        return len(self._in_flight)

    def receive(self, asked: Asked) -> Answer | None:
        """Take in one request. Returns the answer that it refused, if it did."""
        for name in asked.unsubscribe:
            self._drop(name)
        for name in asked.subscribe:
            # Asked for again, it wants it again: its cluster was made anew and waits for its endpoints.
            self._drop(name)
            self._names.add(name)
            self._stirred.add(name)
        self._known.update({name: asked.known[name] for name in asked.subscribe if name in asked.known})
        answer = self._in_flight.pop(asked.nonce, None)
        if answer is None:
            return None
        names = {assignment.cluster for assignment in answer.assignments} & self._names
        if asked.error is not None:
            self._refused |= names
            return answer
        self._refused -= names
        self._stirred |= names
        self._acked.update({name: max(self._acked.get(name, 0), answer.serial) for name in names})
        return None

    def due(self, snapshot: Snapshot) -> Answer | None:
        """Everything that differs from what was sent, in one answer. Ask after each change and each `receive`."""
        looked_at = self._news(snapshot)
        current = {name: snapshot.assignment(name) for name in looked_at}
        due = tuple(a for a in current.values() if self._sent.get(a.cluster) != a.version)
        on_the_way = {a.cluster for answer in self._in_flight.values() for a in answer.assignments}
        # Changed to and fro before anything was sent: the gateway has it as it is now.
        for name in looked_at - on_the_way - self._refused - {a.cluster for a in due}:
            self._acked[name] = snapshot.serial
        if not due:
            return None
        self._count += 1
        answer = Answer(f"{self._stream}-{self._count}", snapshot.serial, due)
        self._in_flight[answer.nonce] = answer
        self._sent.update({a.cluster: a.version for a in due})
        return answer

    def settled(self, wanted: Mapping[str, int]) -> bool:
        """Whether the gateway has each cluster as of its serial. One that it has not subscribed to it has not got."""
        return all(name not in self._names or self._acked.get(name, -1) >= serial for name, serial in wanted.items())

    def _news(self, snapshot: Snapshot) -> set[str]:
        """Names of which something may have to be said: a thousand others are not looked at for one change."""
        changed = {name for name, serial in snapshot.changed.items() if serial > self._seen}
        news = (self._stirred | changed) & self._names
        self._seen = snapshot.serial
        self._stirred.clear()
        for name in news & self._known.keys():
            # What it still has from an earlier stream counts as sent.
            self._sent[name] = self._known.pop(name)
        return news

    def _drop(self, name: str) -> None:
        self._names.discard(name)
        self._refused.discard(name)
        for table in (self._sent, self._known, self._acked):
            table.pop(name, None)
