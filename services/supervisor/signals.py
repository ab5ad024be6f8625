"""Signals as something to wait for beside everything else: children that ended, and requests to stop."""

from __future__ import annotations

import os
import signal
from types import FrameType

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """While open, SIGTERM, SIGINT and SIGHUP are counted instead of ending the process. Main thread only."""

    def __init__(self) -> None:
        self.stops = 0
        """How often somebody asked for the end; the second time hurries it."""
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before = {
            number: signal.signal(number, _ignore)
            for number in (*_STOP, signal.SIGCHLD)
            # Started under nohup, the hub outlives its terminal.
            if signal.getsignal(number) is not signal.SIG_IGN or number is signal.SIGCHLD
        }
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reader

    def read(self) -> None:
        """Take in what arrived; never blocks."""
        try:
            while arrived := os.read(self._reader, 512):
                self.stops += sum(number in _STOP for number in arrived)
        except BlockingIOError:
            pass

    def close(self) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler must exist for the number to be written to the pipe."""
