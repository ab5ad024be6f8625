"""The loop: starts scaler and Envoy in that order, starts again whichever dies, and ends all of it at the end.

One thread, one place that waits. The scaler comes first because Envoy without it refuses every lazy service; once both
have been up, each is started again on its own, at once, with the same inherited sockets, so that requests held
meanwhile wait in the kernel instead of failing.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable

from services.layout import Layout
from services.supervisor import leftovers, logs, record
from services.supervisor.config import Config, Exit, SupervisorError
from services.supervisor.ending import end_all
from services.supervisor.parts import EnvoyPart, Part, ScalerPart, describe
from services.supervisor.proc import Identity
from services.supervisor.signals import Signals
from services.supervisor.sockets import Sockets

_LOG_ROUND = 10.0
_POLL = 0.02
# Deaths in a row after which a hub that was never up gives up.
_PATIENCE = 5


class Supervisor:
    """`run` returns when somebody asked for the end; `shut_down` then ends every process below this one."""

    def __init__(
        self, config: Config, layout: Layout, sockets: Sockets, binary: str, say: Callable[[str], None]
    ) -> None:
        self._config = config
        self._layout = layout
        self._say = say
        self._scaler = ScalerPart(config, layout, sockets, binary)
        self._envoy = EnvoyPart(config, layout, binary)
        self._parts: tuple[Part, ...] = (self._scaler, self._envoy)
        self._signals = Signals()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._log_round = 0.0
        self._up = False
        self._ending = False

    def run(self) -> None:
        """Raises SupervisorError where the hub cannot come up at all. Later deaths are repaired, not raised."""
        self._scaler.due = 0.0
        while not self._signals.stops:
            self._start_due()
            self._wait(self._timeout())
            self._look()
            self._rotate_logs()

    def shut_down(self) -> None:
        """Scaler first, which ends its replicas; then Envoy; then whatever is left. A further signal hurries."""
        self._ending = True
        seen = max(1, self._signals.stops)
        running = [(part.name, part.process) for part in self._parts if part.process]
        end_all(running, wait=self._wait, hurried=lambda: self._signals.stops > seen, say=self._say)
        # A scaler that had to be killed may have left replicas of an earlier life, which are no descendants of ours.
        leftovers.end_replicas(self._layout, self._say)
        for part in self._parts:
            part.close()
        self._selector.close()
        self._signals.close()

    # -- starting ----------------------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        for part in self._parts:
            if part.process is None and part.due is not None and part.due <= time.monotonic():
                try:
                    part.start(self._record)
                except OSError as error:
                    # A disk that is full, say. What serves goes on; what is missing is tried again.
                    if not self._up:
                        raise
                    part.ended()
                    self._say(f"cannot start the {part.name} again just now: {error}")

    def _record(self) -> None:
        known = {"supervisor": Identity.of(os.getpid())} | {part.name: part.process for part in self._parts}
        record.write(self._layout.processes, {name: one for name, one in known.items() if one})

    def _look(self) -> None:
        now = time.monotonic()
        for part in self._parts:
            part.look()
            if part.process and not part.ready and now > part.began + part.start_limit:
                self._say(f"{part.name} was not ready after {part.start_limit:.0f} s: ending it")
                part.began = now
                part.process.send(signal.SIGKILL)
        if self._scaler.was_ready and not self._envoy.began and self._envoy.due is None:
            self._envoy.due = now
        if not self._up and self._scaler.ready and self._envoy.ready:
            self._up = True
            self._say(f"hub is up at {self._config.url}")

    # -- waiting -----------------------------------------------------------------------------------------------------

    def _timeout(self) -> float:
        now = time.monotonic()
        nearest = self._log_round
        for part in self._parts:
            if part.process is None and part.due is not None:
                nearest = min(nearest, part.due)
            elif part.process and not part.ready:
                nearest = min(nearest, now + _POLL)
        return max(0.0, nearest - now)

    def _wait(self, seconds: float) -> None:
        """Until a signal comes or the time is over; then reap every child that ended, ours or an orphan of ours."""
        self._selector.select(seconds)
        self._signals.read()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for part in self._parts:
                if part.process and part.process.pid == pid:
                    self._died(part, status)

    def _died(self, part: Part, status: int) -> None:
        part.look()
        part.ended()
        if self._ending or self._signals.stops:
            return
        # The record still names the dead one where this fails, and that does no harm: its start time fits nobody.
        with contextlib.suppress(OSError):
            self._record()
        fault = part.fault()
        if not self._up:
            self._give_up_where_hopeless(part, status, fault)
        wait = (part.due or 0.0) - time.monotonic()
        again = "starting it again" if wait <= 0 else f"starting it again in {wait:.1f} s"
        self._say(f"{part.name} {describe(status)}: {again}" + (f"\n{fault}" if fault else ""))

    def _give_up_where_hopeless(self, part: Part, status: int, fault: SupervisorError | None) -> None:
        if fault:
            raise fault
        # Killed from outside, it may well live the next time; gone of its own accord, it would go again.
        if os.WIFSIGNALED(status) and part.backoff.deaths < _PATIENCE:
            return
        words = part.last_words()
        raise SupervisorError(
            Exit.FAILED,
            f"the {part.name} cannot start: it {describe(status)}."
            + (f"\n{words}" if words else "")
            + f"\nLog: {part.log}",
        )

    def _rotate_logs(self) -> None:
        now = time.monotonic()
        if now < self._log_round:
            return
        self._log_round = now + _LOG_ROUND
        for name in ("scaler.log", "envoy.log", "supervisor.log"):
            logs.rotate(self._layout.logs / name)
