"""A thousand services are no load: no step walks over all of them, and taking in their catalogue is quick.

Bounds are ten times what a slow machine measures, and compare work with work where they can.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from services.catalog.model import Catalog
from services.scaler.core.effects import Prepare
from services.scaler.core.events import Adopted, CatalogLoaded, Demand, Event, Flow, Restarted, Tick, Traffic
from services.scaler.core.fleet import Fleet
from tests.unit.core.scene import Scene, entry

MANY = 1000
CATALOG = Catalog({f"s{n}": entry(f"s{n}", needs=[f"s{n // 2}"] if n % 3 == 1 and n > 1 else []) for n in range(MANY)})
QUIET = Traffic({name: Flow(0, 0) for name in CATALOG.services})


def fastest(work: Callable[[], object], times: int = 20) -> float:
    """Seconds of the fastest run: what the work costs when nobody else has the machine."""
    best = float("inf")
    for _ in range(times):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def stepping(fleet: Fleet, event: Callable[[int], Event]) -> Callable[[], object]:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        fleet.handle(event(count), fleet.world.now + 0.001)

    return step


def paused(name: str) -> Adopted:
    return Adopted(f"{name}-1", name, {"main": "127.0.0.1:20001"}, 1, "paused", f"{name} 1")


def test_a_catalogue_of_a_thousand_is_taken_in_within_a_tenth_of_a_second() -> None:
    assert fastest(lambda: Fleet().handle(CatalogLoaded(CATALOG), 1.0), 5) < 0.1
    fleet = Fleet()
    fleet.handle(CatalogLoaded(CATALOG), 1.0)
    assert fastest(lambda: fleet.handle(CatalogLoaded(CATALOG), 2.0), 5) < 0.1


def test_steps_with_a_thousand_sleeping_services_cost_microseconds() -> None:
    fleet = Fleet()
    found = tuple(paused(name) for name in list(CATALOG.services)[: MANY // 2])
    fleet.handle(Restarted(CATALOG, {}, {"memory": 1 << 50}, found), 1.0)
    fleet.handle(QUIET, 2.0)
    assert fastest(stepping(fleet, lambda _: Tick())) < 0.0002
    assert fastest(stepping(fleet, lambda n: Demand(n, f"s{MANY - n}", 300.0))) < 0.001
    assert fastest(stepping(fleet, lambda _: QUIET)) < 0.005


def test_a_long_queue_without_room_costs_little_more_than_a_short_one() -> None:
    scene = Scene(*CATALOG.services.values(), room=1)
    scene.up("s0")
    scene.traffic(s0=1)
    for n in range(1, 200):
        scene.demand(f"s{3 * n}")
        prepare = scene.awaited.get(f"s{3 * n}")
        if isinstance(prepare, Prepare):
            scene.answer(prepare)
    assert len(scene.fleet.world.queue) > 150
    assert fastest(stepping(scene.fleet, lambda _: Tick())) < 0.01


def test_timers_that_were_replaced_do_not_pile_up() -> None:
    scene = Scene(entry("a"), entry("b"))
    scene.paused("a")
    for _ in range(2000):
        scene.demand("b", hold=0.001)
        scene.wait(0.002)
    assert len(scene.fleet.world.timers) < 200
