"""What the state looks like to people: one service for pages and refusals, all of it for `aihub status`."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from services.scaler.core import admission, resting, waking
from services.scaler.core.state import Life, Preparation, ServiceState
from services.scaler.core.world import World
from services.scaler.mesh.base import ServiceView

_SHOWN = {
    Life.READY: "ready",
    Life.STARTING: "starting",
    Life.RESUMING: "starting",
    Life.DRAINING: "draining",
    Life.WITHDRAWING: "draining",
    Life.PAUSING: "draining",
    Life.PAUSED: "paused",
    Life.STOPPING: "stopping",
}
_ORDER = list(_SHOWN)
"""Of several replicas the one that comes first here speaks for the service."""


def state(service: ServiceState, now: float) -> str:
    lives = sorted((replica.life for replica in service.replicas.values()), key=_ORDER.index)
    if lives:
        return _SHOWN[lives[0]]
    if service.unavailable:
        return "unavailable"
    if service.preparation is Preparation.RUNNING:
        return "installing"
    if service.queued_at is not None:
        return "queued"
    if service.waking:
        return "starting"
    return "failed" if service.failure else "stopped"


def reason(world: World, service: ServiceState) -> str:
    """One line on why it is as it is."""
    if service.unavailable:
        return service.unavailable
    if service.no_room:
        return service.no_room
    if service.failure and not service.replicas:
        return f"{service.failure} ({waking.LEFT})" if service.left else service.failure
    if service.put_down and not service.replicas:
        return f"ended by somebody else, or not begun yet: {waking.LEFT}"
    if service.finished and not service.replicas:
        return "it has done its work"
    if service.in_life(Life.READY):
        return ", ".join(resting.use(world, service)) or f"last use: {service.use_reason}"
    return next((replica.reason for replica in service.replicas.values() if replica.reason), "")


def expected_wake(world: World, service: ServiceState) -> float | None:
    """Seconds until a request that came now would be answered, an installation not counted: from this host's own
    history, else from what the catalogue says of others; None where neither tells."""
    if any(not replica.deaf for replica in service.in_life(Life.READY, Life.DRAINING, Life.WITHDRAWING)):
        return 0.0
    if service.in_life(Life.PAUSED, Life.RESUMING):
        return 0.01
    start = median(service.start_seconds) if service.start_seconds else _typical_start(service)
    if start is None:
        return None
    begun = next((r.begun for r in service.replicas.values() if r.life is Life.STARTING), None)
    return max(0.0, start - (world.now - begun)) if begun is not None else start


def in_order(world: World) -> Mapping[str, ServiceState]:
    """All services as the catalogue has them one after another, whatever came first; what has left it at the end."""
    known = {name: world.services[name] for name in world.catalog.services if name in world.services}
    return {**known, **{name: state for name, state in world.services.items() if name not in known}}


def service_view(world: World, name: str, now: float) -> ServiceView | None:
    service = world.services.get(name)
    if service is None:
        return None
    shown = state(service, now)
    progress = service.progress
    return ServiceView(
        name=name,
        state=shown,
        phase=progress.phase if progress else shown,
        detail=progress.detail if progress else "",
        progress=progress.fraction if progress else _start_progress(service, now),
        estimate=expected_wake(world, service),
        queue_position=admission.queue_position(world, name),
        reason=reason(world, service),
        endpoints=next((dict(one.endpoints) for one in service.in_life(Life.READY) if not one.deaf), {}),
    )


def service_status(world: World, service: ServiceState, now: float) -> dict[str, Any]:
    """One entry of `aihub status --json`."""
    progress = service.progress
    pinned = service.pinned_until
    return {
        "state": state(service, now),
        "reason": reason(world, service),
        "replicas": [
            {
                "id": replica.id,
                "pid": replica.pid,
                "endpoint": replica.endpoints.get(_main(service)),
                "state": replica.life.value,
                "memory": replica.memory,
            }
            for replica in service.replicas.values()
        ],
        "tier": service.spec.tier.value,
        "description": service.spec.description,
        "web": service.spec.web,
        "expected_wake_s": expected_wake(world, service),
        "size_bytes": admission.room_needed(world, service),
        "measured": service.size is not None,
        "pinned_until": None if pinned is None or pinned <= now else ("forever" if pinned == float("inf") else pinned),
        "queue_position": admission.queue_position(world, service.name),
        "held": len(service.demands),
        "active": service.flow.active if service.flow else None,
        "progress": {"phase": progress.phase, "fraction": progress.fraction, "detail": progress.detail}
        if progress
        else None,
        "last_use": service.last_use or None,
        "not_pausable": next((r.not_pausable for r in service.replicas.values() if r.not_pausable), None),
    }


def budget(world: World) -> dict[str, Any]:
    return {"memory": {"total": world.budget.get(admission.MEMORY), "charged": admission.charged(world)}}


def _main(service: ServiceState) -> str:
    return service.spec.main.name if service.spec.main else "main"


def _typical_start(service: ServiceState) -> float | None:
    local = service.spec.local
    return (local.typical.first_start or local.typical.start) if local else None


def _start_progress(service: ServiceState, now: float) -> float | None:
    starting = next((r for r in service.replicas.values() if r.life is Life.STARTING), None)
    if starting is None or not service.start_seconds:
        return None
    return min(0.99, (now - starting.begun) / max(0.001, median(service.start_seconds)))
