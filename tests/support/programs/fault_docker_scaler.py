"""A scaler's Docker driver and nothing else, for tests that kill it: `fault_docker_scaler.py DATA PROJECT FILE UNTIL`.

Goes through a replica's life and stands still at the step UNTIL, saying so. A step that lies between two others kills
this very process there, since no test could hit it from outside.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from services.catalog.model import Catalog, Containers, Port, Service, Stack, Wake
from services.layout import Layout
from services.scaler.drivers.docker import DockerDriver, containers


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def dying(*_: Any, **__: Any) -> bool:
    die()
    return False


def after(step: Any) -> Any:
    async def act(*words: Any, **more: Any) -> None:
        await step(*words, **more)
        die()

    return act


def arm(until: str) -> None:
    kind = containers.Containers
    match until:
        case "recorded":
            kind.start = dying  # type: ignore[assignment, method-assign]
        case "started":
            kind.start = after(kind.start)  # type: ignore[method-assign]
        case "frozen":
            kind.pause = after(kind.pause)  # type: ignore[method-assign]
        case "thawed":
            kind.unpause = after(kind.unpause)  # type: ignore[method-assign]
        case "stopping":
            kind.stop = dying  # type: ignore[assignment, method-assign]
        case "ended":
            kind.stop = after(kind.stop)  # type: ignore[method-assign]


async def stand(step: str, until: str) -> None:
    print(step, flush=True)
    if step == until:
        await asyncio.Event().wait()


async def main(data: str, project: str, file: str, until: str) -> None:
    service = Service(
        "svc",
        ports=(Port("main", 80),),
        health="/health",
        wake=Wake(start_timeout=20),
        containers=Containers(project, "svc", {"default": ()}),
        digest="one",
    )
    made = DockerDriver(Layout.at(data), print)
    made.configure(Catalog({"svc": service}, stacks={project: Stack(project, (file,), str(Path(file).parent))}), {})
    await made.adopt()
    arm(until)
    await made.start(service, "svc-1")
    await stand("starting", until)
    await made.ready(service, "svc-1")
    await stand("ready", until)
    await made.pause(service, "svc-1")
    await stand("paused", until)
    await made.resume(service, "svc-1")
    await stand("resumed", until)
    await made.stop(service, "svc-1")


asyncio.run(main(*sys.argv[1:]))
