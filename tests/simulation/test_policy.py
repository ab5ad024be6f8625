"""What the fleet's policy costs and saves on a day of a real-shaped load, with bounds that a slip would break.

`python -m tests.simulation` prints the reports these bounds come from.
"""

from __future__ import annotations

import random

import pytest

from services.catalog.model import Catalog, Rest, Scaling
from services.scaler.core.state import Settings
from tests.simulation.load import DAY, FIGURES, Arrival, Load, draw, make
from tests.simulation.simulator import GIBIBYTE_HOUR, Report, Simulator


def day(seed: int = 1, *, room: float | None = None, busier: float = 1.0, scaling: Scaling | None = None) -> Report:
    """`room`: the memory budget as a share of what all services together take."""
    load = make(seed, days=1.0, busier=busier, scaling=scaling)
    return Simulator(load, budget=None if room is None else int(load.all_bytes * room)).run()


def always_on() -> float:
    """GiB·h of a day on which nothing ever sleeps."""
    return make(1, days=1.0).all_bytes * DAY / GIBIBYTE_HOUR


def test_the_load_has_the_shape_of_the_figures_it_is_made_from() -> None:
    load = make(3, days=8.0)
    a_day = len(load.arrivals) / 8.0
    assert 0.6 < a_day / 1166 < 1.6
    per_service = dict.fromkeys(load.catalog.services, 0)
    quiet_hours = 0
    for arrival in load.arrivals:
        per_service[arrival.service] += 1
        quiet_hours += 9 <= arrival.at % DAY / 3600 < 15
    assert sum(sorted(per_service.values())[-10:]) > 0.6 * len(load.arrivals)
    assert quiet_hours < 0.03 * len(load.arrivals)
    starts = sorted(load.start_seconds.values())
    assert starts[0] >= FIGURES["model_load_s_quantiles"]["0.05"]
    assert starts[-1] <= FIGURES["model_load_s_quantiles"]["0.99"]


def test_the_same_seed_gives_the_same_report() -> None:
    assert str(day()) == str(day())


def test_on_a_plain_day_everything_is_served_for_a_small_part_of_the_memory() -> None:
    report = day()
    assert report.refused == {}
    assert report.cold_share < 0.30
    assert report.wait(0.5) == 0.0
    assert report.wait(0.95) < 60.0
    assert report.most_starts_at_once <= Settings().start_cap
    assert report.awake_gib_hours < 0.06 * always_on()
    assert report.awake_gib_hours + report.paused_gib_hours < 0.15 * always_on()


def test_a_third_of_the_memory_costs_hardly_more_cold_starts() -> None:
    plenty, scarce = day(busier=5.0), day(busier=5.0, room=0.33)
    assert scarce.refused == {}
    assert scarce.cold_share < plenty.cold_share + 0.03
    assert scarce.wait(0.95) < plenty.wait(0.95) + 15.0


def test_a_tenth_of_the_memory_under_a_heavy_load_refuses_few() -> None:
    report = day(busier=20.0, room=0.10)
    assert sum(report.refused.values()) < 0.03 * report.requests
    assert report.wait(0.5) == 0.0
    assert report.wait(0.95) < 150.0


def test_longer_idle_times_trade_memory_for_cold_starts() -> None:
    reports = [day(scaling=Scaling(idle_timeout=idle, stop_after=3 * idle)) for idle in (30.0, 300.0, 1200.0)]
    shares = [report.cold_share for report in reports]
    taken = [report.awake_gib_hours + report.paused_gib_hours for report in reports]
    assert shares == sorted(shares, reverse=True)
    assert taken == sorted(taken)


def test_pausing_spares_cold_starts_that_stopping_pays() -> None:
    pausing, stopping = day(), day(scaling=Scaling(rest=Rest.STOPPED))
    assert pausing.cold_share < 0.75 * stopping.cold_share
    assert stopping.paused_gib_hours == 0.0


@pytest.mark.parametrize("cap", [1, 2, 8])
def test_fifty_sleeping_services_hit_at_once_all_answer_and_starts_are_capped(cap: int) -> None:
    base = make(1, services=50, days=0.1)
    arrivals = tuple(Arrival(10.0, name, 1.0) for name in base.catalog.services)
    load = Load(base.catalog, dict.fromkeys(base.catalog.services, 2.0), arrivals)
    report = Simulator(load, settings=Settings(start_cap=cap)).run()
    assert report.cold == 50
    assert report.starts == 50
    assert report.most_starts_at_once == cap
    assert max(report.waits) == pytest.approx(2.0 * -(-50 // cap), rel=0.01)


def test_two_hundred_clients_of_one_sleeping_service_cost_one_start() -> None:
    base = make(1, services=1, days=0.1)
    (name,) = base.catalog.services
    load = Load(Catalog(base.catalog.services), {name: 5.0}, tuple(Arrival(1.0, name, 0.1) for _ in range(200)))
    report = Simulator(load).run()
    assert (report.starts, report.cold) == (1, 200)


def test_a_value_drawn_from_quantiles_lies_between_them() -> None:
    rng = random.Random(1)
    values = sorted(draw(rng, FIGURES["execution_s_quantiles"]) for _ in range(2000))
    assert values[0] >= 11.0
    assert values[-1] <= 106.0
    assert values[1000] == pytest.approx(23.0, abs=3.0)
