"""Wakes timed from the request to its first byte: a stopped program against its own bare start, and a frozen one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure, Goal, middle, quantile
from benchmarks.stage import bare_start, first_byte, folder, hub_of, sleepers, wait_state
from tests.support.catalogue import Workshop
from tests.support.hub import Hub
from tests.support.ports import free_port
from tests.support.upstreams import Upstream

SAMPLES = 200
ROTATION = 8
"""So many copies take turns: while one is measured the others fall asleep."""
PROGRAMS = {"instant (go)": ("go",), "300 ms (python)": ("asyncio", "--delay", "0.25")}


def run() -> list[Figure]:
    figures: list[Figure] = []
    for title, (kind, *arguments) in PROGRAMS.items():
        figures += _stopped(title, kind, tuple(arguments))
    return figures + _frozen()


def _stopped(title: str, kind: str, arguments: tuple[str, ...]) -> list[Figure]:
    with folder() as where:
        hub_samples, bare_samples = [], []
        with hub_of(_services(where, kind, arguments), where) as hub:
            for number in range(SAMPLES + ROTATION):
                name = f"wake{number % ROTATION}"
                _rest(hub, name, "stopped")
                took = first_byte(hub.port, f"/api/{name}/")
                port = free_port()
                bare = bare_start(Upstream(kind, where / "bare.events", arguments).command(str(port)), port)
                if number >= ROTATION:
                    hub_samples.append(took * 1000)
                    bare_samples.append(bare * 1000)
    figures = []
    for name, share, bound in (("p50", 0.5, 10), ("p99", 0.99, 40)):
        # Quantile against quantile: the program's own start varies too, and that is not the hub's.
        own = quantile(bare_samples, share)
        above = quantile(hub_samples, share) - own
        title_of = f"wake, {title}: {name} above own start"
        figures.append(Figure(title_of, "ms", above, own, Goal.AT_MOST, bound, samples=len(hub_samples)))
    return figures


def _frozen() -> list[Figure]:
    with folder() as where:
        frozen, warm = [], []
        with hub_of(_services(where, "go", ()), where) as hub:
            for number in range(SAMPLES + ROTATION):
                name = f"wake{number % ROTATION}"
                if number < ROTATION:
                    first_byte(hub.port, f"/api/{name}/")
                _rest(hub, name, "paused")
                took = first_byte(hub.port, f"/api/{name}/")
                again = first_byte(hub.port, f"/api/{name}/")
                if number >= ROTATION:
                    frozen.append(took * 1000)
                    warm.append(again * 1000)
    own = middle(warm)
    return [
        Figure("wake from paused: p50", "ms", middle(frozen), own, Goal.AT_MOST, 8, samples=len(frozen)),
        Figure("wake from paused: p99", "ms", quantile(frozen, 0.99), own, Goal.AT_MOST, 25, samples=len(frozen)),
    ]


def _services(where: Path, kind: str, arguments: tuple[str, ...]) -> dict[str, object]:
    workshop = Workshop(where)
    woken = {f"wake{n}": workshop.upstream(f"wake{n}", kind, *arguments) for n in range(ROTATION)}
    return woken | sleepers(workshop, 60 - ROTATION)


def _rest(hub: Hub, name: str, depth: str) -> None:
    if hub.state(name) == "stopped" == depth:
        return
    hub.command_api("POST", f"/v1/services/{name}/sleep?to={depth}")
    wait_state(hub, name, depth)
