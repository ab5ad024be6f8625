"""A many-service load with the shape of a real one: few popular services, long quiet gaps, nights, slow starts.

The figures are fitted ones (`workload.json`, whose `what` says from what); the arrivals are made from them by a seed,
always the same. Sizes are our own assumption: the figures have none.
"""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from services.catalog.model import Catalog, Port, Resources, Scaling, Service

FIGURES = json.loads((Path(__file__).parent / "workload.json").read_text(encoding="utf-8"))
DAY = 86400.0
REQUESTS_A_DAY = 26_823 / 23
GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class Arrival:
    at: float
    service: str
    duration: float
    """Seconds the service works on it."""


@dataclass(frozen=True, slots=True)
class Load:
    catalog: Catalog
    start_seconds: Mapping[str, float]
    arrivals: tuple[Arrival, ...]
    """In order of time."""

    @property
    def all_bytes(self) -> int:
        """What it would take to keep everything awake."""
        return sum(spec.resources.memory_reservation or 0 for spec in self.catalog.services.values())


def make(
    seed: int, *, services: int = 86, days: float = 2.0, busier: float = 1.0, scaling: Scaling | None = None
) -> Load:
    """`busier`: requests a day, as a multiple of the fitted ones."""
    rng = random.Random(seed)
    shares = FIGURES["popularity_share_by_rank"][:services]
    specs, starts, arrivals = {}, {}, []
    for rank, share in enumerate(shares):
        name = f"service-{rank}"
        size = min(8.0, max(0.25, rng.lognormvariate(0.3, 0.8)))
        specs[name] = Service(
            name=name,
            ports=(Port("main", 8080),),
            scaling=scaling or Scaling(),
            resources=Resources(memory_reservation=int(size * GIBIBYTE)),
            digest=name,
        )
        starts[name] = draw(rng, FIGURES["model_load_s_quantiles"])
        for at in _times(rng, share / sum(shares) * REQUESTS_A_DAY * busier, days):
            arrivals.append(Arrival(at, name, draw(rng, FIGURES["execution_s_quantiles"])))
    return Load(Catalog(specs), starts, tuple(sorted(arrivals, key=lambda one: one.at)))


def draw(rng: random.Random, quantiles: Mapping[str, float]) -> float:
    """A value of the distribution that has these quantiles; straight lines between them."""
    points = [(float(share), value) for share, value in quantiles.items()]
    where = rng.uniform(points[0][0], points[-1][0])
    for (low, a), (high, b) in pairwise(points):
        if where <= high:
            return a + (b - a) * (where - low) / (high - low)
    return points[-1][1]


def _times(rng: random.Random, a_day: float, days: float) -> Iterator[float]:
    """Arrivals of one service: gaps as irregular as the fitted ones, denser in the busy hours of each day."""
    sigma = FIGURES["interarrival_per_service"]["sigma"]
    mean = DAY / a_day
    busy_time = rng.uniform(0, mean)
    while busy_time < days * DAY:
        yield _clock(busy_time)
        busy_time += rng.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)


_HOURS: list[float] = [0.0, *accumulate(FIGURES["hour_of_day_share"])]


def _clock(busy_time: float) -> float:
    """Time of day at which that share of a day's requests has come."""
    day, share = divmod(busy_time / DAY, 1.0)
    share *= _HOURS[-1]
    hour = min(bisect_right(_HOURS, share) - 1, 23)
    inside = (share - _HOURS[hour]) / max(1e-9, _HOURS[hour + 1] - _HOURS[hour])
    return day * DAY + (hour + inside) * 3600.0
