"""Run benchmarks by name and print a line a figure; exit 1 where a goal was missed.

scripts/bench [NAME ...] [--json FILE]; those over containers need a Docker Engine and run only when they are named.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import docker_holders, docker_idle, docker_wake, docker_warm, idle, wake, warm
from benchmarks.figures import HEADING, Figure

LOCAL: dict[str, Callable[[], list[Figure]]] = {"warm": warm.run, "wake": wake.run, "idle": idle.run}
BENCHMARKS: dict[str, Callable[[], list[Figure]]] = LOCAL | {
    "docker-wake": docker_wake.from_created,
    "docker-paused": docker_wake.from_paused,
    "docker-burst": docker_wake.burst,
    "docker-warm": docker_warm.run,
    "docker-idle": docker_idle.run,
    "docker-holders": docker_holders.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; {', '.join(LOCAL)} by default"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    print(HEADING, flush=True)
    for name in chosen.names or LOCAL:
        for figure in BENCHMARKS[name]():
            figures.append(figure)
            print(figure.line(), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps([figure.record() for figure in figures], indent=2) + "\n")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
