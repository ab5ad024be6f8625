"""Bringing one service into a phase of a wake or of a rest, so that a test can kill something right then.

Short phases (draining, withdrawing, pausing) are met by watching the state without a pause between two looks: the kill
follows the first sight of the service leaving `ready`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import Client, Outcome
from tests.support.hub import Hub, HubFailed

NAME = "svc"
IDLE = 0.4
GRACE = 2


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


@dataclass(frozen=True, slots=True)
class Phase:
    service: Callable[[Workshop], Mapping[str, Any]]
    reach: Callable[[Scene], Awaitable[None]]
    """Returns while the service is in the phase."""


def _plain(*arguments: str, rests: Rests | None = None, **more: Any) -> Callable[[Workshop], Mapping[str, Any]]:
    return lambda workshop: workshop.upstream(NAME, "asyncio", *arguments, rests=rests, **more)


def _stubborn(workshop: Workshop) -> Mapping[str, Any]:
    compose = {"stop_grace_period": f"{GRACE}s"}
    return workshop.upstream(NAME, "asyncio", "--stubborn", rests=Rests(idle=IDLE, rest="stopped"), compose=compose)


async def _starting(scene: Scene) -> None:
    scene.ask("starting")
    await scene.hub.until(NAME, "starting")
    await _started(scene)


async def _ready(scene: Scene) -> None:
    await scene.serve_once()
    scene.hold(scene.caller.slow(NAME, 0.5), scene.caller.stream(NAME, 10, 0.05))
    scene.ask("ready")
    await asyncio.sleep(0.02)


async def _leaving(scene: Scene) -> None:
    await scene.serve_once()
    await asyncio.to_thread(_first_sight, scene.hub, lambda state: state != "ready")


async def _paused(scene: Scene) -> None:
    await scene.serve_once()
    await scene.hub.until(NAME, "paused")


async def _thawing(scene: Scene) -> None:
    await _paused(scene)
    scene.ask("thawing")
    await asyncio.to_thread(_first_sight, scene.hub, lambda state: state != "paused")


async def _stopping(scene: Scene) -> None:
    await scene.serve_once()
    await asyncio.to_thread(_first_sight, scene.hub, lambda state: state == "stopping")


PHASES = {
    "starting": Phase(_plain("--delay", "1.0"), _starting),
    "ready": Phase(_plain(), _ready),
    "leaving ready": Phase(_plain(rests=Rests(idle=IDLE)), _leaving),
    "paused": Phase(_plain(rests=Rests(idle=IDLE)), _paused),
    "thawing": Phase(_plain(rests=Rests(idle=IDLE)), _thawing),
    "stopping": Phase(_stubborn, _stopping),
}


def _first_sight(hub: Hub, wanted: Callable[[str], bool], limit: float = 20.0) -> None:
    """Ask over one connection without a pause until the state is as wanted."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=5)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        connection.request("GET", f"/api/health/{NAME}")
        if wanted(str(json.loads(connection.getresponse().read())["state"])):
            connection.close()
            return
    connection.close()
    raise HubFailed(f"{NAME} never got there in {limit} s\n{hub.said()}")


async def _started(scene: Scene) -> None:
    end = time.monotonic() + 10
    while scene.workshop.starts(NAME) == 0:
        if time.monotonic() > end:
            raise HubFailed(f"{NAME} was never started\n{scene.hub.said()}")
        await asyncio.sleep(0.01)
