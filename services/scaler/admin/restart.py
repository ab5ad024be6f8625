"""A restart that somebody waits for: followed until the service is up anew, stays as it was, or does not come up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from services.scaler.control.loop import Control
from services.scaler.core import needing
from services.scaler.core.events import RestartAsked
from services.scaler.core.state import Life, ServiceState
from services.scaler.core.world import World


class How(StrEnum):
    UP = "up"
    STAYED = "in-use"
    FAILED = "failed"
    WAITING = "waiting"
    """Not over within the time given; it goes on."""


@dataclass(frozen=True, slots=True)
class Ended:
    how: How
    reason: str = ""


async def restart(control: Control, name: str, wait: float) -> Ended:
    """Ask for it, and see how it ended, at the latest after `wait` seconds. Cancelled, the restart goes on."""
    world = control.fleet.world
    before = _old(world.services[name])
    control.post(RestartAsked(name))
    try:
        async with asyncio.timeout(wait):
            await control.settled(lambda: ended(world, name, before) is not None)
    except TimeoutError:
        return Ended(How.WAITING, f"{name} is not up again after {wait:g} s; its restart goes on")
    return ended(world, name, before) or Ended(How.WAITING)


def ended(world: World, name: str, before: frozenset[str]) -> Ended | None:
    """How the restart ended; None while it is under way. `before`: replicas that it was to end."""
    service = world.services.get(name)
    if service is None or service.retired:
        return Ended(How.FAILED, f"{name} has left the catalogue meanwhile")
    if any(replica.id not in before for replica in service.in_life(Life.READY)):
        return Ended(How.UP)
    resting = any(replica.life not in (Life.READY, Life.PAUSED) for replica in service.replicas.values())
    if service.restarting or service.waking or resting:
        return None
    if service.in_life(Life.PAUSED):
        return Ended(How.STAYED, f"{name} was not restarted: a request may be in there, for somebody else froze it")
    if service.replicas:
        return Ended(How.STAYED, f"{name} was not restarted: somebody asked for it meanwhile")
    return Ended(How.FAILED, f"{name} does not come up again: {_why(world, service)}")


def _old(service: ServiceState) -> frozenset[str]:
    """What is about to be up anyway need not be ended for a restart."""
    return frozenset(one.id for one in service.replicas.values() if one.life not in (Life.STARTING, Life.RESUMING))


def _why(world: World, service: ServiceState) -> str:
    if service.finished:
        return "it has done its work, and serves nobody"
    blocked = needing.blocked(world, service)
    return service.unavailable or service.failure or (blocked[1] if blocked else "somebody else has ended it")
