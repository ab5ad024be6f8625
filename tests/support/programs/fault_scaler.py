"""A scaler's driver and nothing else, for tests that kill it: `fault_scaler.py DATA CONTAINMENT UNTIL MODE [ARGUMENT]`.

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

from services.catalog.model import Local, Port, Service, Wake
from services.layout import Layout
from services.scaler.drivers.process import ProcessDriver, driver, spawn
from services.scaler.drivers.process.containment import CgroupTree, WalkTree
from services.scaler.drivers.process.platform import Wish


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(until: str) -> None:
    begin = spawn.begin

    def begin_and_die(*words: Any) -> None:
        print(begin(*words).pid, flush=True)
        die()

    match until:
        case "recorded":
            spawn.begin = die  # type: ignore[assignment]
        case "spawned":
            spawn.begin = begin_and_die  # type: ignore[assignment]
        case "outside":
            WalkTree.enclose = CgroupTree.enclose = die  # type: ignore[method-assign]
        case "frozen":
            step = ProcessDriver._phase

            def freeze_and_die(self: ProcessDriver, live: Any, phase: Any) -> None:
                if phase == driver.Phase.PAUSED:
                    die()
                step(self, live, phase)

            ProcessDriver._phase = freeze_and_die  # type: ignore[method-assign]
        case "thawed":
            WalkTree.thaw = _after(WalkTree.thaw)  # type: ignore[method-assign]
            CgroupTree.thaw = _after(CgroupTree.thaw)  # type: ignore[method-assign]


def _after(step: Any) -> Any:
    def act(self: Any) -> None:
        step(self)
        die()

    return act


async def stand(step: str, until: str) -> None:
    print(step, flush=True)
    if step == until:
        await asyncio.Event().wait()


async def main(data: str, containment: str, until: str, mode: str, *more: str) -> None:
    layout = Layout.at(data)
    program = Path(__file__).with_name("fault_server.py")
    local = Local((sys.executable, "-ISE", str(program), mode, "{port}", *more))
    service = Service(
        "svc",
        ports=(Port("main", 80),),
        health="/",
        local=local,
        wake=Wake(start_timeout=20),
        stop_grace=20,
        digest="one",
    )
    made = ProcessDriver(layout, print, containment=Wish(containment))
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
    stopping = asyncio.create_task(made.stop(service, "svc-1"))
    while not stopping.done() and '"stopping"' not in (layout.replicas / "svc-1.json").read_text():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await stand("stopping", until)
    await stopping


asyncio.run(main(*sys.argv[1:]))
