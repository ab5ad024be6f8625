"""Print what the policy costs: one line for each load, budget and idle time."""

from __future__ import annotations

from services.catalog.model import Scaling
from tests.simulation.load import make
from tests.simulation.simulator import Simulator


def main() -> None:
    for busier, room, idle in ((1, None, 300), (1, None, 60), (1, None, 1800), (5, 0.33, 300), (20, 0.1, 300)):
        load = make(1, days=2.0, busier=busier, scaling=Scaling(idle_timeout=idle, stop_after=3.0 * idle))
        report = Simulator(load, budget=None if room is None else int(load.all_bytes * room)).run()
        print(f"load x{busier}, memory {'all' if room is None else f'{room:.0%}'}, idle {idle} s: {report}")


if __name__ == "__main__":
    main()
