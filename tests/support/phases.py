"""Bringing one service into a phase of a wake or of a rest, so that a test can kill something right then.

Phases that are over in milliseconds are made as long as it takes: the scaler runs with one step that stands still when
it is reached (`programs/halting_scaler.py`), the installer with one that waits (`programs/slow_uv.py`). After the kill
it goes on, or a new life of it does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import Client, Outcome
from tests.support.hub import Hub, HubFailed

NAME = "svc"
IDLE = 0.4
GRACE = 2
HALTING_SCALER = "tests.support.programs.halting_scaler"
SLOW_UV = Path(__file__).parent / "programs" / "slow_uv.py"
_REACHED_WITHIN = 15.0


@dataclass(slots=True)
class Scene:
    hub: Hub
    workshop: Workshop
    caller: Client
    held: list[asyncio.Task[Outcome]]
    """Requests that are under way at the kill."""

    def hold(self, *requests: Awaitable[Outcome]) -> None:
        self.held += [asyncio.ensure_future(request) for request in requests]

    def ask(self, mark: str) -> None:
        """A crowd of requests whose POSTs carry ids."""
        self.hold(*(self.caller.get(NAME, "asyncio") for _ in range(4)))
        self.hold(*(self.caller.post(NAME, 200_000, identifier=f"{mark}-{number}") for number in range(4)))

    async def serve_once(self) -> None:
        outcome = await self.caller.get(NAME, "asyncio")
        if not outcome.ok:
            raise HubFailed(f"{outcome}\n{self.hub.said()}")

    def life(self) -> str:
        """The service's life as the scaler knows it: that of its replica, else its own state."""
        service = self.hub.command_api("GET", "/v1/status")["services"][NAME]
        return str(service["replicas"][0]["state"] if service["replicas"] else service["state"])

    async def until_life(self, wanted: str) -> None:
        end = time.monotonic() + _REACHED_WITHIN
        while (life := await asyncio.to_thread(self.life)) != wanted:
            if time.monotonic() > end:
                raise HubFailed(f"{NAME} is {life}, not {wanted}, after {_REACHED_WITHIN} s\n{self.hub.said()}")
            await asyncio.sleep(0.01)

    async def until_halted(self) -> None:
        end = time.monotonic() + _REACHED_WITHIN
        while not (self.workshop.folder / "halted").exists():
            if time.monotonic() > end:
                raise HubFailed(f"the step was never reached\n{self.hub.said()}")
            await asyncio.sleep(0.005)

    def go_on(self) -> None:
        """Whatever stands still goes on."""
        (self.workshop.folder / "go").touch()

    def program(self) -> int:
        """Pid of the program that carries the service now: itself, or its installer. The program's own word: the hub is
        not asked in the middle of a transition."""
        for record, told in ((f"{NAME}.events", "start "), ("uv.events", "sync ")):
            path = self.workshop.folder / record
            if path.exists():
                return int([line for line in path.read_text().splitlines() if line.startswith(told)][-1].split()[1])
        raise HubFailed(f"nothing of {NAME} was ever started\n{self.hub.said()}")


@dataclass(frozen=True, slots=True)
class Phase:
    service: Callable[[Workshop], Mapping[str, Any]]
    reach: Callable[[Scene], Awaitable[None]]
    """Returns while the service is in the phase."""
    life: str
    """What the scaler calls it."""
    halts: bool = False
    """Whether it is made long by a step that stands still."""


def _plain(*arguments: str, rests: Rests | None = None, **more: Any) -> Callable[[Workshop], Mapping[str, Any]]:
    return lambda workshop: workshop.upstream(NAME, "asyncio", "--alone", *arguments, rests=rests, **more)


def _packaged(workshop: Workshop) -> Mapping[str, Any]:
    installer = workshop.folder / "uv"
    installer.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{SLOW_UV}" "{workshop.folder}" "$@"\n')
    installer.chmod(0o700)
    return dict(_plain(hub={"local": {"package": "pypi:slow==1.0"}})(workshop))


def _stubborn(workshop: Workshop) -> Mapping[str, Any]:
    compose = {"stop_grace_period": f"{GRACE}s"}
    return _plain("--stubborn", rests=Rests(idle=IDLE, rest="stopped"), compose=compose)(workshop)


async def _preparing(scene: Scene) -> None:
    scene.ask("preparing")
    await scene.until_halted()


async def _starting(scene: Scene) -> None:
    scene.ask("starting")
    await scene.until_life("starting")
    await _started(scene)


async def _ready(scene: Scene) -> None:
    await scene.serve_once()
    scene.hold(scene.caller.slow(NAME, 0.5), scene.caller.stream(NAME, 10, 0.05))
    scene.ask("ready")
    await asyncio.sleep(0.02)


async def _resting(scene: Scene) -> None:
    await scene.serve_once()
    await scene.until_halted()


async def _paused(scene: Scene) -> None:
    await scene.serve_once()
    await scene.until_life("paused")


async def _resuming(scene: Scene) -> None:
    await _paused(scene)
    scene.ask("resuming")
    await scene.until_halted()


async def _stopping(scene: Scene) -> None:
    await scene.serve_once()
    await scene.until_life("stopping")


_RESTS = _plain(rests=Rests(idle=IDLE))
PHASES = {
    "preparing": Phase(_packaged, _preparing, "installing", halts=True),
    "starting": Phase(_plain("--delay", "1.0"), _starting, "starting"),
    "ready": Phase(_plain(), _ready, "ready"),
    "draining": Phase(_RESTS, _resting, "draining", halts=True),
    "withdrawing": Phase(_RESTS, _resting, "withdrawing", halts=True),
    "pausing": Phase(_RESTS, _resting, "pausing", halts=True),
    "paused": Phase(_RESTS, _paused, "paused"),
    "resuming": Phase(_RESTS, _resuming, "resuming", halts=True),
    "stopping": Phase(_stubborn, _stopping, "stopping"),
}


async def _started(scene: Scene) -> None:
    end = time.monotonic() + 10
    while scene.workshop.starts(NAME) == 0:
        if time.monotonic() > end:
            raise HubFailed(f"{NAME} was never started\n{scene.hub.said()}")
        await asyncio.sleep(0.01)
