"""Warm requests through the hub against a bare Envoy with one static route, both in front of the same program."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Goal, middle
from benchmarks.stage import first_byte, folder, hub_of, sleepers
from tests.support.catalogue import Workshop
from tests.support.ports import free_port
from tests.support.process_tree import cpu_seconds

ROUNDS = 7
SECONDS = 4
CONNECTIONS = 32
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
"""Routes look at the agent, so the requests have one."""
SERVICES = 60
TARGET = "target"
FILTERS = "type.googleapis.com/envoy.extensions.filters"
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def run() -> list[Figure]:
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk: apt-get install wrk")
    with folder() as where:
        workshop = Workshop(where)
        # The measured service stands in the middle of the catalogue.
        others = list(sleepers(workshop, SERVICES - 1).items())
        services = dict([*others[:30], (TARGET, workshop.upstream(TARGET, "go", "--keep-alive", "60")), *others[30:]])
        with hub_of(services, where) as hub:
            first_byte(hub.port, f"/api/{TARGET}/")
            endpoint = hub.replicas(TARGET)[0]["endpoint"]
            binary, concurrency = envoy_of(hub.pids()["envoy"])
            with bare_envoy(binary, concurrency, endpoint, where / "bare.json") as (port, bare):
                title = f"warm, {SERVICES} services, concurrency {concurrency}"
                return compared(title, (hub.pids()["envoy"], hub.port, f"/api/{TARGET}/"), (bare, port, "/"))


@dataclass(frozen=True, slots=True)
class Round:
    rate: float
    p99: float
    """Milliseconds."""
    cpu: float
    """Microseconds of Envoy's CPU a request: the one of the three that other load on the machine hardly moves."""


Side = tuple[int, int, str]
"""Pid of an Envoy, its port and the path that is asked for."""


def compared(title: str, hub: Side, other: Side) -> list[Figure]:
    ours: list[Round] = []
    bare: list[Round] = []
    for number in range(ROUNDS + 1):
        turns = [(ours, hub), (bare, other)]
        # The one that comes second finds a warmer machine: take turns at that too.
        for found, (envoy, port, path) in turns if number % 2 else reversed(turns):
            figures = _round(envoy, port, path)
            if number:
                found.append(figures)

    def figure(name: str, unit: str, goal: Goal, bound: float, take: Callable[[Round], float]) -> Figure:
        mine, other = middle([take(one) for one in ours]), middle([take(one) for one in bare])
        return Figure(f"{title}: {name}", unit, mine, other, goal, bound, compared=True, samples=len(ours))

    return [
        figure("rate", "req/s", Goal.AT_LEAST, 0.95, lambda one: one.rate),
        figure("p99", "ms", Goal.AT_MOST, 1.05, lambda one: one.p99),
        figure("CPU a request", "us", Goal.AT_MOST, 1.05, lambda one: one.cpu),
    ]


def _round(envoy: int, port: int, path: str) -> Round:
    before = cpu_seconds([envoy])
    rate, p99, requests = _wrk(port, path)
    return Round(rate, p99, 1e6 * (cpu_seconds([envoy]) - before) / requests)


def _wrk(port: int, path: str) -> tuple[float, float, int]:
    """Requests per second, p99 in milliseconds, requests in all. Raises RuntimeError unless every answer was a 2xx."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-H", f"User-Agent: {BROWSER}"]
    command.append(f"http://127.0.0.1:{port}{path}")
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS + 30).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    count = re.search(r"(\d+) requests in", text)
    if rate is None or tail is None or count is None:
        raise RuntimeError(text)
    return float(rate[1]), float(tail[1]) * UNITS[tail[2]], int(count[1])


def envoy_of(pid: int) -> tuple[str, str]:
    """The hub's own Envoy program and its --concurrency."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    if "--concurrency" in words:
        return words[0], words[words.index("--concurrency") + 1]
    threads = [Path(entry, "comm").read_text() for entry in Path(f"/proc/{pid}/task").iterdir()]
    return words[0], str(sum(name.startswith("wrk:worker") for name in threads))


@contextlib.contextmanager
def bare_envoy(binary: str, concurrency: str, endpoint: str, file: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    file.write_text(json.dumps(_static(port, endpoint)))
    command = [binary, "-c", str(file), "--concurrency", concurrency, "--disable-hot-restart", "--log-level", "error"]
    program = subprocess.Popen(command)
    try:
        end = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError):
                first_byte(port, "/")
                break
            if time.monotonic() > end:
                raise RuntimeError("the bare Envoy does not answer")
            time.sleep(0.02)
        yield port, program.pid
    finally:
        program.terminate()
        program.wait()


def _static(port: int, endpoint: str) -> dict[str, object]:
    host, upstream_port = endpoint.rsplit(":", 1)
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "one"}}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "bare",
        "address": _address("127.0.0.1", port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(host, int(upstream_port))}}]}]
    cluster = {"name": "one", "type": "STATIC", "load_assignment": {"cluster_name": "one", "endpoints": endpoints}}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}
