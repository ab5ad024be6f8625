"""One replica as the driver holds it: its record, whether its container has ended, and what is under way on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from services.scaler.drivers.docker.book import What
from services.scaler.drivers.docker.checks import Check
from services.scaler.drivers.docker.containers import Alive
from services.scaler.drivers.docker.records import Phase, Record

_TO_END = 60.0
"""Seconds that a program may take to end after a signal, for that to be the reason."""
_TOLD_WITHIN = 10.0
"""Seconds after the engine's answer in which the event of what we did comes, if ever."""
_ECHO = 10.0
"""Seconds after a verb of ours in which the engine may still tell of what was before it."""


@dataclass(slots=True, eq=False)
class _Word:
    """That an event will be of our own doing."""

    what: What
    until: float = float("inf")
    """By the loop's clock; without end while the engine has not answered."""


class Replica:
    def __init__(self, record: Record) -> None:
        self.record = record
        self.verb = asyncio.Lock()
        """Held by the verb that is under way: verbs on one replica follow each other."""
        self.stopping = False
        """Somebody asked for its end: its exit is no news."""
        self._expected: list[_Word] = []
        """Events that will come of what we did ourselves: they are no news."""
        self._acted_at = float("-inf")
        """When a verb of ours on it was last answered."""
        self._seen_at: dict[What, float] = {}
        """When it was last frozen and thawed, by whomever."""
        self.meddled = False
        """Somebody else froze or thawed it, and that has been told."""
        self.code: int | None = None
        """Its exit code, once its end was told."""
        self.oom = False
        """The kernel has ended something of it for want of memory."""
        self.signalled: float | None = None
        """When the engine was last made to send it a signal, by the loop's clock."""
        self._seen: int | None = None
        """Its first process, where that could be seen."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when its container has stopped running."""
        self.healthy = asyncio.Event()
        """Its own health check has said `healthy` since it was started."""
        self.published: frozenset[int] = frozenset()
        """Ports inside its container that the engine publishes, past the gateway."""
        self.check: Check | None = None
        """Its container's own health check."""
        self.thawed: asyncio.Task[None] | None = None
        """Looks at it in the seconds after a thaw."""

    @property
    def id(self) -> str:
        return self.record.replica

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def take(self, alive: Alive) -> None:
        """What its container is like, now that it runs."""
        self.check, self.published = alive.check, alive.published
        if alive.healthy:
            self.healthy.set()
        if not alive.running:
            self.end()
        self.record = replace(self.record, endpoints=alive.endpoints, pid=alive.pid)

    def is_gone(self) -> bool:
        """Whether its first process is no more, which the engine tells a tenth of a second later. Only of one that was
        seen by an earlier call: processes of an engine elsewhere, or outside of the hub's own container, never are."""
        pid = self.record.pid
        if pid is None:
            return False
        if _runs(pid):
            self._seen = pid
            return False
        return self._seen == pid

    def was_told_to_end(self) -> bool:
        """Whether somebody had the engine send it a signal lately."""
        return self.signalled is not None and asyncio.get_running_loop().time() - self.signalled < _TO_END

    def become(self, phase: Phase) -> None:
        """In memory; the record is the roster's to write."""
        self.record = replace(self.record, phase=phase)

    def unwatch(self) -> None:
        if self.thawed is not None:
            self.thawed.cancel()
            self.thawed = None

    async def ours(self, what: What, verb: Callable[[str], Awaitable[bool]]) -> None:
        """Freeze or thaw its container: the event of it is no news, and none comes where it was so already."""
        word = _Word(what)
        self._expected.append(word)
        done = False
        try:
            done = await verb(self.record.container)
        finally:
            self.saw(what)
            self._acted_at = asyncio.get_running_loop().time()
            if done:
                word.until = self._acted_at + _TOLD_WITHIN
            elif word in self._expected:
                self._expected.remove(word)

    def counts_off(self, what: What) -> bool:
        """Whether an event is of what we did ourselves; each deed has one."""
        now = asyncio.get_running_loop().time()
        self._expected = [word for word in self._expected if word.until > now]
        mine = next((word for word in self._expected if word.what is what), None)
        if mine is not None:
            self._expected.remove(mine)
        return mine is not None

    def lose_events(self) -> None:
        """Events may have been lost, and a listing has told what they left: deeds that are done have none to come."""
        self._expected = [word for word in self._expected if word.until == float("inf")]

    def saw(self, what: What) -> None:
        """It was frozen or thawed just now, by whomever."""
        self._seen_at[what] = asyncio.get_running_loop().time()

    def may_be_echo(self, what: What) -> bool:
        """Whether the engine may tell of a state before a verb of ours that was answered lately: it takes in its
        runtime's own news late, and believes them. It can only tell again what had come about as lately."""
        last = min(self._acted_at, self._seen_at.get(what, float("-inf")))
        return asyncio.get_running_loop().time() - last < _ECHO


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:
        return False
    return state not in b"ZX"
