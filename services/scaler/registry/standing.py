"""How each service stands, as others may know it: the part of the fleet's state that a registry is about. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.catalog.model import Service
from services.scaler.core.events import ReplicaId
from services.scaler.core.state import SERVING, ServiceState
from services.scaler.core.world import World


@dataclass(frozen=True, slots=True)
class Standing:
    service: Service
    state: str
    """As `aihub status` shows it."""
    reason: str = ""
    serving: tuple[ReplicaId, ...] = ()
    """Replicas that answer requests now; of a service that is asleep, none."""
    able: bool = True
    """Whether it can run here at all."""


def standings(
    world: World, shown: Callable[[ServiceState, float], str], reason: Callable[[World, ServiceState], str], now: float
) -> tuple[Standing, ...]:
    """Every service of the catalogue, and those that have left it as long as they serve. `shown` and `reason` say what
    people are shown; `now` in seconds, as the fleet counts them."""
    found = []
    for state in world.services.values():
        serving = tuple(sorted(replica.id for replica in state.in_life(*SERVING)))
        if serving or not state.retired:
            able = not state.unavailable
            found.append(Standing(state.spec, shown(state, now), reason(world, state), serving, able))
    return tuple(found)
