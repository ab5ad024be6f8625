"""The two programs that are kept alive, each as a part: how it starts, when it is ready, what its end meant.

A part knows nothing of the other, of waiting or of restarting; that is the supervisor's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from services.layout import Layout
from services.supervisor import envoy, logs, ports, scaler
from services.supervisor.config import Config, Exit, SupervisorError
from services.supervisor.proc import Identity
from services.supervisor.restart import Backoff
from services.supervisor.sockets import Sockets
from services.supervisor.spawn import spawn

Record = Callable[[], None]
_LOG_LINES = 15


class Part:
    """One program over all its lives."""

    name: str
    start_limit: float
    """Seconds from its start within which it must be ready."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: Identity | None = None
        self.began = 0.0
        self.due: float | None = None
        """When it is to be started; None: not now."""
        self.ready = False
        """In this life."""
        self.was_ready = False
        """In any life."""
        self.backoff = Backoff()
        self._log_from = 0

    def start(self, record: Record) -> None:
        """Begin a new life. `record` is called when the process is known and before its program runs."""
        self.began = time.monotonic()
        self.due = None
        self.ready = False
        self._log_from = logs.size(self.log)

        def known(process: Identity) -> None:
            self.process = process
            record()

        self._spawn(known)

    def look(self) -> None:
        """See whether it has become ready; blocks for a quarter of a second at most."""
        if self.process and not self.ready and self._is_ready():
            self.ready = self.was_ready = True

    def ended(self) -> None:
        """Its process is gone and reaped."""
        self.process = None
        self.due = time.monotonic() + self.backoff.died(time.monotonic() - self.began, worked=self.ready)
        self.ready = False

    def fault(self) -> SupervisorError | None:
        """What it said was wrong, where starting it again cannot help by itself."""
        raise NotImplementedError

    def last_words(self) -> str:
        """The end of what it logged in this life."""
        return logs.tail(self.log, _LOG_LINES, self._log_from)

    def close(self) -> None:
        """Let go of descriptors."""

    def _spawn(self, known: Callable[[Identity], None]) -> None:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError


class ScalerPart(Part):
    name = "scaler"
    # Adopting what an earlier life left can take a while: half-stopped replicas are ended first.
    start_limit = 120.0

    def __init__(self, config: Config, layout: Layout, sockets: Sockets, binary: str) -> None:
        super().__init__(layout.logs / "scaler.log")
        self.greeting: scaler.Greeting | None = None
        self._config = config
        self._binary = binary
        self._sockets = sockets

    def fault(self) -> SupervisorError | None:
        if self.greeting is None:
            return None
        self.greeting.read()
        said = self.greeting.error(complete=self.process is None)
        return SupervisorError(Exit.BAD_INPUT, said) if said else None

    def close(self) -> None:
        if self.greeting:
            self.greeting.close()
            self.greeting = None

    def _spawn(self, known: Callable[[Identity], None]) -> None:
        self.close()
        self.greeting = scaler.Greeting()
        sockets = self._sockets
        try:
            spawn(
                scaler.command(self._config, self._binary, sockets, self.greeting.writer),
                environment=scaler.environment(),
                keep=[sockets.check.fileno(), sockets.ads.fileno(), sockets.admin.fileno(), self.greeting.writer],
                output=self.log,
                record=known,
            )
        finally:
            self.greeting.handed_over()

    def _is_ready(self) -> bool:
        if self.greeting is None:
            return False
        self.greeting.read()
        return self.greeting.is_ready


class EnvoyPart(Part):
    name = "envoy"
    start_limit = 60.0

    def __init__(self, config: Config, layout: Layout, binary: str) -> None:
        super().__init__(layout.logs / "envoy.log")
        self._config = config
        self._layout = layout
        self._binary = binary

    def fault(self) -> SupervisorError | None:
        refused = envoy.refused_address(self.last_words())
        if refused is None:
            return None
        # Ask the kernel in turn: where it says the same, it also says who is in the way.
        try:
            ports.check_free(self._config.listen)
        except SupervisorError as error:
            return error
        return SupervisorError(Exit.PORT, f"Envoy could not listen on {refused}")

    def _spawn(self, known: Callable[[Identity], None]) -> None:
        envoy.clear(self._layout)
        spawn(
            envoy.command(self._binary, self._config, self._layout, self.log),
            environment=envoy.environment(),
            keep=[],
            output=self.log,
            record=known,
        )

    def _is_ready(self) -> bool:
        return envoy.is_ready(self._layout)


def describe(status: int) -> str:
    """A wait status in words."""
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
