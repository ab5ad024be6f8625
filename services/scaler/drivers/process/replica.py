"""One replica as the driver holds it: its record, its containment, and the watch on its root program.

Owns the exit: seen by pidfd, so at once and without polling, also for a program that an earlier scaler began. It does
not decide what an exit means; the driver asked to be told.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from services.scaler.drivers.process import logs
from services.scaler.drivers.process.containment import Containment
from services.scaler.drivers.process.proc import Identity, Process, lives
from services.scaler.drivers.process.records import Record

log = logging.getLogger(__name__)


class Replica:
    def __init__(
        self,
        record: Record,
        tree: Containment,
        log: Path,
        mark: str = "",
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.record = record
        self.tree = tree
        self.log = log
        self.mark = mark
        self.verb = asyncio.Lock()
        """Held by the verb that is under way: verbs on one replica follow each other."""
        self.stopping = False
        """Somebody asked for its end: its exit is no news."""
        self.published = False
        """It died while it served: gateways may still have its address."""
        self.enclosing: asyncio.Task[None] | None = None
        self.thawed: asyncio.Task[None] | None = None
        """Looks at it in the seconds after a thaw."""
        self.frozen_with: Sequence[Process] = ()
        """What it consisted of when it was last frozen, short-lived children left out."""
        self.meddled = False
        """Somebody else froze or thawed it, and that has been told."""
        self.unheard_since: float | None = None
        """Since which look one of its ports has had no listener."""
        self.ended = asyncio.get_running_loop().create_future()
        """Done when the root program has exited; its result says how, without the log."""
        self._process = process
        self._handle: int | None = None

    @property
    def id(self) -> str:
        return self.record.replica

    @property
    def root(self) -> Identity:
        assert self.record.root is not None
        return self.record.root

    def begin_enclosing(self) -> asyncio.Task[None]:
        """Put it into its control group, in the background. Idempotent."""
        if self.enclosing is None:
            self.enclosing = asyncio.get_running_loop().create_task(self._enclose())
        return self.enclosing

    async def enclosed(self) -> None:
        await asyncio.shield(self.begin_enclosing())

    async def not_enclosing(self) -> None:
        """The end of a tree does not need its group, but must not meet its making."""
        if self.enclosing is not None:
            await asyncio.shield(self.enclosing)

    async def gathered(self) -> None:
        """What it forked before it was enclosed is inside as well."""
        try:
            await asyncio.to_thread(self.tree.gather)
        except OSError as error:
            log.warning("some of %s is outside its control group: %s", self.id, error)

    async def _enclose(self) -> None:
        try:
            await asyncio.to_thread(self.tree.enclose)
        except OSError as error:
            log.warning("replica %s is not in a control group of its own: %s", self.id, error)

    def watch(self, on_exit: Callable[[Replica], None]) -> None:
        """Begin to watch the root program; `on_exit` is called once, from the event loop, maybe before this returns."""
        try:
            self._handle = os.pidfd_open(self.root.pid)
        except ProcessLookupError:
            self._exited(on_exit)
            return
        if self._process is None and not lives(self.root):
            self._exited(on_exit)
            return
        asyncio.get_running_loop().add_reader(self._handle, self._exited, on_exit)

    def _exited(self, on_exit: Callable[[Replica], None]) -> None:
        self.release()
        if not self.ended.done():
            self.ended.set_result(self._manner())
            on_exit(self)

    def _manner(self) -> str:
        if self._process is None:
            return "ended (nobody knows its exit code: an earlier scaler had begun it)"
        code = self._process.wait()
        if code >= 0:
            return f"exited with code {code}"
        if -code == signal.SIGKILL and self.tree.cgroup and _out_of_memory(self.tree.cgroup):
            return "was ended by SIGKILL: it went over its memory limit"
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"

    def release(self) -> None:
        """Let go of the watch. Idempotent."""
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None

    def leave(self) -> None:
        """Let it run on without us. Idempotent."""
        self.release()
        if self._process is not None and self._process.poll() is None:
            # A Popen that is let go complains of, and later waits for, a program that is meant to outlive it.
            self._process.returncode = 0

    def pids(self) -> list[int]:
        """All of its tree. Blocks for some milliseconds."""
        return [process.pid for process in self.tree.members()]

    def last_words(self) -> str:
        """The end of what it logged, ready to follow a reason; empty where it said nothing."""
        lines = logs.last_lines(self.log, self.record.log_offset)
        return "; its last lines: " + " | ".join(lines) if lines else "; it logged nothing"


def _out_of_memory(cgroup: Path) -> bool:
    try:
        events = (cgroup / "memory.events").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in events)
