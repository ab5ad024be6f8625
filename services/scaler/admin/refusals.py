"""Why a command is not carried out now, and what would help: words for people. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.scaler.core import resting
from services.scaler.core.state import ServiceState
from services.scaler.core.world import World


@dataclass(frozen=True, slots=True)
class Refusal:
    code: str
    """A word for programs."""
    reason: str
    remedy: str


def of_sleep(world: World, service: ServiceState) -> Refusal | None:
    reasons = resting.against_sleep(world, service)
    if not reasons:
        return None
    if service.min_replicas:
        return Refusal("always-on", ", ".join(reasons), _instead_of_sleep(service))
    if service.pinned(world.now):
        return Refusal("in-use", ", ".join(reasons), f"`aihub unpin {service.name}` lets it rest again")
    return Refusal("in-use", ", ".join(reasons), "it rests when that is over")


def of_restart(world: World, service: ServiceState) -> Refusal | None:
    if is_composes(service) and service.replicas:
        reason = "it is not on demand, and compose runs it"
        return Refusal("not-on-demand", reason, f"`docker compose restart {_name_there(service)}` does it")
    if reasons := resting.against_restart(world, service):
        return Refusal("in-use", ", ".join(reasons), "try again when it is idle")
    return None


def is_composes(service: ServiceState) -> bool:
    """Whether compose runs its container, and the hub never ends it."""
    return service.spec.containers is not None and not service.spec.lazy


def _instead_of_sleep(service: ServiceState) -> str:
    if is_composes(service):
        return f"compose runs it: `docker compose stop {_name_there(service)}` ends it until somebody asks for it"
    if service.spec.lazy:
        return f"its entry keeps it up (min_replicas: {service.spec.scaling.min_replicas}), so it never rests"
    return "its entry has no `profiles: [on-demand]`, so it never rests"


def _name_there(service: ServiceState) -> str:
    return service.spec.containers.name if service.spec.containers else service.name
