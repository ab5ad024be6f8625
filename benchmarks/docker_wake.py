"""A container woken by a request through the hub, against the same container started or thawed by the engine alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from benchmarks.docker_stage import Engine, Stage, Twin, nginx, small, stage
from benchmarks.figures import Figure, Goal, middle, quantile
from benchmarks.stage import first_byte

SAMPLES = 200
BURST_ROUNDS = 11
BURST = 20
WARM_UP = 3
SETTLE = 0.1
"""Seconds between the end of one and the begin of the next: an engine tidies up after a stop has been answered."""
BURST_SETTLE = 1.0
_PROGRAMS = {"python": small("woken"), "nginx": nginx()}


def from_created(samples: int = SAMPLES) -> list[Figure]:
    figures: list[Figure] = []
    for title, entry in _PROGRAMS.items():
        with stage({"woken": entry}) as set_up:
            figures += _from_created(set_up, title, samples)
    return figures


def _from_created(set_up: Stage, title: str, samples: int) -> list[Figure]:
    first_byte(set_up.hub.port, "/api/woken/")
    twin = set_up.twin("woken")

    def hub() -> float:
        set_up.rest("woken", "stopped")
        time.sleep(SETTLE)
        return first_byte(set_up.hub.port, "/api/woken/")

    def engine() -> float:
        time.sleep(SETTLE)
        took = twin.start(set_up.engine)
        twin.stop(set_up.engine)
        return took

    ours, bare = in_turns(hub, engine, samples)
    name = f"wake from created, {title}"
    return [
        _compared(f"{name}: p50", 0.5, ours, bare, 1.05),
        _compared(f"{name}: p99", 0.99, ours, bare, 1.15),
    ]


def from_paused(samples: int = SAMPLES) -> list[Figure]:
    with stage({"woken": small("woken")}) as set_up:
        first_byte(set_up.hub.port, "/api/woken/")
        twin = set_up.twin("woken")
        twin.start(set_up.engine)
        address = twin.address(set_up.engine)

        def hub() -> float:
            set_up.rest("woken", "paused")
            time.sleep(SETTLE)
            return first_byte(set_up.hub.port, "/api/woken/")

        def engine() -> float:
            twin.pause(set_up.engine)
            time.sleep(SETTLE)
            return twin.unpause(set_up.engine, address)

        ours, bare = in_turns(hub, engine, samples)
    return [
        _compared("wake from paused: p50", 0.5, ours, bare, 1.5),
        Figure(
            "wake from paused: p99",
            *("ms", quantile(ours, 0.99), quantile(bare, 0.99), Goal.AT_MOST, 40),
            samples=len(ours),
        ),
    ]


def burst(rounds: int = BURST_ROUNDS) -> list[Figure]:
    """Twenty at once: the time until the last of them has answered."""
    names = [f"burst{number:02}" for number in range(BURST)]
    with stage({name: small(name) for name in names}) as set_up:
        for name in names:
            first_byte(set_up.hub.port, f"/api/{name}/")
            set_up.rest(name, "stopped")
        twins = [set_up.twin(name) for name in names]

        def hub() -> float:
            time.sleep(BURST_SETTLE)
            took = together([_request(set_up.hub.port, name) for name in names])
            for name in names:
                set_up.rest(name, "stopped")
            return took

        def engine() -> float:
            time.sleep(BURST_SETTLE)
            took = together([_start(twin) for twin in twins])
            for twin in twins:
                twin.stop(set_up.engine)
            return took

        ours, bare = in_turns(hub, engine, rounds, warm_up=1)
    return [_compared(f"{BURST} sleeping at once: median", 0.5, ours, bare, 1.1)]


def _request(port: int, name: str) -> Callable[[], object]:
    return lambda: first_byte(port, f"/api/{name}/")


def _start(twin: Twin) -> Callable[[], object]:
    def start() -> None:
        engine = Engine()
        try:
            twin.start(engine)
        finally:
            engine.close()

    return start


def together(work: Sequence[Callable[[], object]]) -> float:
    """Seconds from the begin of the first to the end of the last, each in a thread. Raises what one of them raised."""
    faults: list[BaseException] = []
    go = threading.Barrier(len(work) + 1)

    def run(one: Callable[[], object]) -> None:
        go.wait()
        try:
            one()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    go.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    if faults:
        raise faults[0]
    return took


def in_turns(
    hub: Callable[[], float], engine: Callable[[], float], samples: int, *, warm_up: int = WARM_UP
) -> tuple[list[float], list[float]]:
    """Milliseconds of each, one after the other, the order turned each time."""
    ours: list[float] = []
    bare: list[float] = []
    for number in range(samples + warm_up):
        turns = [(ours, hub), (bare, engine)]
        for found, measure in turns if number % 2 else reversed(turns):
            took = measure()
            if number >= warm_up:
                found.append(1000 * took)
    return ours, bare


def _compared(name: str, share: float, ours: Sequence[float], bare: Sequence[float], bound: float) -> Figure:
    mine, other = quantile(ours, share), quantile(bare, share)
    if share == 0.5:
        mine, other = middle(ours), middle(bare)
    return Figure(name, "ms", mine, other, Goal.AT_MOST, bound, compared=True, samples=len(ours))
