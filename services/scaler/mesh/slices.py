"""In what portions held requests of one replica are let go. Pure.

All at once they overrun a small listen backlog, and a request reset after it was sent cannot be repeated. Four at first
and a little more each time is sooner for everybody than the kernel's one-second retry. Time alone does not pace a
program that accepts slowly: where its accept queue can be read, no more go than that has room for.
"""

from __future__ import annotations

from collections import deque

INTERVAL = 0.005
"""Seconds between two portions."""
FIRST = 4
_GROW_EVERY = 8
"""Portions after which one more request goes with each."""
_LARGEST = 16
_DRY = 200
"""Looks without room after which one goes all the same: a program that never accepts must not hold its callers."""


class Slices:
    """The queue of one replica."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._portion = 0
        self._left = FIRST
        self._dry = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: int, room: int | None = None) -> bool:
        """Queue one request. Returns whether it may go at once: then it is not queued. `room`: in the program's accept
        queue; None where that is not known."""
        if not self._waiting and self._left > 0 and room != 0:
            self._left -= 1
            return True
        self._waiting.append(request)
        return False

    @property
    def first(self) -> int:
        """The request that waits longest. Raises IndexError where none does."""
        return self._waiting[0]

    def remove(self, request: int) -> None:
        """The client left."""
        if request in self._waiting:
            self._waiting.remove(request)

    def next(self, room: int | None = None) -> tuple[int, ...]:
        """INTERVAL seconds after the last portion: the next one. Empty and `at_rest` when there is no more."""
        if self._waiting and room == 0:
            self._dry += 1
            if self._dry < _DRY:
                return ()
            room = 1
        self._dry = 0
        self._portion = self._portion + 1 if self._waiting else 0
        size = min(FIRST + self._portion // _GROW_EVERY, _LARGEST)
        if room is not None and self._waiting:
            size = min(size, room)
        portion = tuple(self._waiting.popleft() for _ in range(min(size, len(self._waiting))))
        self._left = size - len(portion)
        return portion

    @property
    def at_rest(self) -> bool:
        """Nothing waits and a full first portion may go at once: no timer is needed."""
        return not self._waiting and self._portion == 0 and self._left == FIRST
