"""Warm requests through the edge to a container, against a bare Envoy with one static route to the same address."""

from __future__ import annotations

import shutil

from benchmarks.docker_stage import nginx, stage
from benchmarks.figures import Figure
from benchmarks.stage import first_byte
from benchmarks.warm import bare_envoy, compared, envoy_of

TARGET = "target"
SERVICES = 60


def run() -> list[Figure]:
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk: apt-get install wrk")
    others = {f"svc{number:02}": nginx() for number in range(SERVICES - 1)}
    with stage({TARGET: nginx(), **others}) as set_up:
        first_byte(set_up.hub.port, f"/api/{TARGET}/")
        endpoint = set_up.hub.replicas(TARGET)[0]["endpoint"]
        envoy = set_up.hub.pids()["envoy"]
        binary, concurrency = envoy_of(envoy)
        with bare_envoy(binary, concurrency, endpoint, set_up.project.folder / "bare.json") as (port, bare):
            title = f"warm to a container, {SERVICES} services, concurrency {concurrency}"
            return compared(title, (envoy, set_up.hub.port, f"/api/{TARGET}/"), (bare, port, "/"))
