"""A wake by a hub whose services have holders of their network, beside the same by a hub whose services have none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.docker_stage import Stage, nginx, small, stage
from benchmarks.docker_wake import SETTLE, in_turns
from benchmarks.figures import Figure, Goal, middle, quantile
from benchmarks.stage import first_byte

SAMPLES = 100
_PROGRAMS = {"nginx": nginx(), "python": small("woken")}
_GOAL = 0.6


def run(samples: int = SAMPLES) -> list[Figure]:
    figures: list[Figure] = []
    for title, entry in _PROGRAMS.items():
        figures += _compared(title, entry, samples, "stopped", _GOAL)
    return [*figures, *_compared("python", small("woken"), samples, "paused", 1.1)]


def _compared(title: str, entry: dict[str, Any], samples: int, depth: str, bound: float) -> list[Figure]:
    services = {"woken": entry}
    with stage(services, "held", names="holder") as held, stage(services, "alone") as alone:
        ours, other = in_turns(_woken(held, depth), _woken(alone, depth), samples)
    name = f"wake from {depth} by holder, {title}"
    about: dict[str, Any] = {"compared": True, "samples": len(ours)}
    return [
        Figure(f"{name}: p50", "ms", middle(ours), middle(other), Goal.AT_MOST, bound, **about),
        Figure(f"{name}: p90", "ms", quantile(ours, 0.9), quantile(other, 0.9), Goal.AT_MOST, bound, **about),
    ]


def _woken(set_up: Stage, depth: str) -> Callable[[], float]:
    """Seconds from a request at the hub's port to the first byte of its answer."""
    first_byte(set_up.hub.port, "/api/woken/")

    def wake() -> float:
        set_up.rest("woken", depth)
        time.sleep(SETTLE)
        return first_byte(set_up.hub.port, "/api/woken/")

    return wake
