"""What the scaler costs over sixty containers of which ten are awake, while nobody wants anything."""

from __future__ import annotations

import statistics
import time

from benchmarks.docker_stage import nginx, small, stage
from benchmarks.figures import Figure, Goal
from benchmarks.stage import first_byte
from tests.support.process_tree import cpu_seconds, memory

SERVICES = 60
AWAKE = 10
ROUNDS = 5
WATCHED = 12.0
SETTLE = 8.0
"""The first seconds after a wake see work that comes once."""
_MIB = 1 << 20


def run() -> list[Figure]:
    names = [f"idle{number:02}" for number in range(SERVICES)]
    services = {name: nginx() if number % 2 else small(name) for number, name in enumerate(names)}
    with stage(services) as set_up:
        for name in names[:AWAKE]:
            first_byte(set_up.hub.port, f"/api/{name}/")
        scaler = set_up.hub.pids()["scaler"]
        time.sleep(SETTLE)
        shares = [_share(scaler) for _ in range(ROUNDS)]
        title = f"scaler, {SERVICES} containers, {AWAKE} awake"
        return [
            Figure(
                f"{title}: CPU of one core",
                *("%", statistics.fmean(shares), None, Goal.AT_MOST, 1.5),
                samples=ROUNDS,
            ),
            Figure(f"{title}: RSS", "MiB", memory(scaler) / _MIB, None, Goal.AT_MOST, 120),
        ]


def _share(scaler: int) -> float:
    before, begun = cpu_seconds([scaler]), time.monotonic()
    time.sleep(WATCHED)
    return 100 * (cpu_seconds([scaler]) - before) / (time.monotonic() - begun)
