"""What the scaler costs while nobody wants anything, and how fast it takes in a changed catalogue."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Goal, middle
from benchmarks.stage import folder, hub_of, sleepers, write_group
from tests.support.catalogue import Workshop
from tests.support.hub import Hub
from tests.support.process_tree import cpu_seconds, memory

WATCHED = 30.0
SETTLE = 5.0
ROUNDS = 5
FILES = 12
MIB = 1 << 20


def run() -> list[Figure]:
    return [*_small(), *_large()]


def _small() -> list[Figure]:
    with folder() as where, hub_of(sleepers(Workshop(where), 60), where) as hub:
        return _cost(hub, 60, 1, 120)


def _large() -> list[Figure]:
    with folder() as where:
        services = sleepers(Workshop(where), 1000)
        with hub_of(services, where, FILES) as hub:
            figures = _cost(hub, 1000, 5, 250)
            one = [_take_in(hub, where, services, [number]) for number in range(ROUNDS)]
            whole = [_take_in(hub, where, services, list(range(FILES))) for _ in range(ROUNDS)]
            title = f"1000 services in {FILES} files: "
            figures.append(
                Figure(f"{title}one changed file", "s", middle(one), None, Goal.AT_MOST, 0.5, samples=ROUNDS)
            )
            figures.append(Figure(f"{title}all changed", "s", middle(whole), None, Goal.AT_MOST, 2, samples=ROUNDS))
            resident = memory(hub.pids()["scaler"]) / MIB
            return [*figures, Figure(f"{title}RSS after all this", "MiB", resident, None, Goal.AT_MOST, 250)]


def _cost(hub: Hub, count: int, most_cpu: float, most_memory: float) -> list[Figure]:
    scaler = hub.pids()["scaler"]
    time.sleep(SETTLE)
    before, begun = cpu_seconds([scaler]), time.monotonic()
    time.sleep(WATCHED)
    share = 100 * (cpu_seconds([scaler]) - before) / (time.monotonic() - begun)
    title = f"scaler, {count} sleeping services"
    return [
        Figure(f"{title}: CPU of one core", "%", share, None, Goal.AT_MOST, most_cpu),
        Figure(f"{title}: RSS", "MiB", memory(scaler) / MIB, None, Goal.AT_MOST, most_memory),
    ]


_generation = iter(range(1_000_000))


def _edited(service: Any, generation: int) -> Any:
    """The same with other routes."""
    hub = service["x-hub"]
    return {**service, "x-hub": {**hub, "wake": {**hub["wake"], "ignore_paths": [f"/quiet{generation}"]}}}


def _take_in(hub: Hub, where: Path, services: dict[str, Any], groups: list[int]) -> float:
    """Seconds from the replacement of the last file until the gateway routes to what each file has new; each service in
    them has changed too."""
    names = list(services)
    fresh = next(_generation)
    texts = {}
    for number in groups:
        name = f"fresh{fresh}-{number}"
        entry = next(iter(services.values()))
        texts[name] = {key: _edited(services[key], fresh) for key in names[number::FILES]} | {name: entry}
    for number, group in zip(groups, texts.values(), strict=True):
        write_group(where, number, group)
    begun = time.perf_counter()
    for name in texts:
        # The service's own health tells its state without waking it: 404 until the gateway has the route.
        while hub.ask(f"/api/{name}/health")[0] != 200:
            if time.perf_counter() - begun > 60:
                raise RuntimeError(f"{name} was never taken in\n{hub.said()}")
            time.sleep(0.005)
    return time.perf_counter() - begun
