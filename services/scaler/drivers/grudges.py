"""Which services do not bear being frozen, as their drivers found out: remembered, explained.

Some programs supervise their own workers by the clock: to them a freeze looks like a worker that hung, and they kill
it. Which ones cannot be known beforehand. How a loss shows is each platform's own.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

log = logging.getLogger(__name__)

WATCHED = 10.0
"""Seconds after a thaw in which a loss is put down to the freeze."""


class Grudges:
    """Which services do not bear being paused, and why. Kept in one file; a changed entry gets a new chance."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, str]] = {}
        try:
            self._known = json.loads(path.read_text())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, every service may be paused again: %s", path, error)

    def reason(self, service: str, digest: str) -> str | None:
        entry = self._known.get(service)
        return entry["reason"] if entry and entry["digest"] == digest else None

    def exit_after_thaw(self, service: str, digest: str, manner: str) -> None:
        """It ended within the watched seconds. Nothing inside a tree kills its own root with SIGKILL: such an end says
        nothing about the freeze."""
        if "SIGKILL" not in manner:
            self.remember(service, digest, f"within {WATCHED:g} s of a thaw it {manner}")

    def remember(self, service: str, digest: str, reason: str) -> None:
        log.warning("%s will not be paused any more: %s", service, reason)
        self._known[service] = {"digest": digest, "reason": reason}
        partial = self._path.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(self._known, indent=1))
            partial.replace(self._path)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)
