"""The health check of a container's own entry, run by us while it starts.

The engine runs it too, but first after its interval, half a minute unless the entry says otherwise: a database that is
ready in a second would keep those who wait for that long. Whoever says `healthy` first is believed. Where the engine
lets nobody run a program in a container (a filter before its socket), its own events are waited for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused

log = logging.getLogger(__name__)

_SHORTEST = 0.05
_LONGEST = 2.0
_SHARE = 0.1
"""Of the time waited, between two runs: each starts a process in the container."""
_FORBIDDEN = (401, 403, 404, 405, 501)


@dataclass(frozen=True, slots=True)
class Check:
    """Words of the program that ends with 0 once the container is well."""

    engine: Engine
    container: str
    words: Sequence[str]

    async def passed(self) -> None:
        """Return when it has passed. Waits for ever, also where we may not run it: bound it by a timeout."""
        begun = time.monotonic()
        try:
            while True:
                if await self._passes():
                    return
                await asyncio.sleep(min(max((time.monotonic() - begun) * _SHARE, _SHORTEST), _LONGEST))
        except EngineRefused as error:
            if error.status not in _FORBIDDEN:
                log.info("the health check of %s cannot be run: %s", self.container[:12], error)
            await asyncio.Event().wait()

    async def _passes(self) -> bool:
        try:
            made = await self.engine.post(f"containers/{self.container}/exec", {"Cmd": list(self.words)})
            async with self.engine.raw("POST", f"exec/{made['Id']}/start", {}, {"Detach": False, "Tty": False}) as said:
                await said.read()
            return bool((await self.engine.get(f"exec/{made['Id']}/json"))["ExitCode"] == 0)
        except (EngineAway, aiohttp.ClientError):
            return False
        except EngineRefused as error:
            if error.status == 409:  # it does not run, or is paused: whoever watches its end says so
                return False
            raise


def words(health: Mapping[str, Any] | None, shell: Sequence[str] | None = None) -> tuple[str, ...]:
    """Of a health check as the engine keeps it; empty where there is none."""
    match list((health or {}).get("Test") or ()):
        case ["CMD", *program]:
            return tuple(program)
        case ["CMD-SHELL", command]:
            return (*(shell or ("/bin/sh", "-c")), command)
        case _:
            return ()
