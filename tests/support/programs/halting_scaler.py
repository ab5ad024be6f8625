"""The scaler as it is, but for one step at which its first life stands still, so that a test can kill something there.

The step is named by the environment: `HALT_AT` (a phase) and `HALT_IN` (a folder). The step says that it was reached
by making HALT_IN/halted, and goes on when there is HALT_IN/go; a later life finds the first file and halts no more. All
else of the scaler goes on meanwhile: the steps that block are those that the driver has in a thread.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from services.scaler.__main__ import main
from services.scaler.drivers.docker import readiness
from services.scaler.drivers.docker.containers import Containers
from services.scaler.drivers.process import driver, pypi
from services.scaler.drivers.process.containment import CgroupTree, WalkTree
from services.scaler.mesh.resting import Resting

FOLDER = Path(os.environ["HALT_IN"])


def first() -> bool:
    try:
        (FOLDER / "halted").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


async def halt() -> None:
    if first():
        while not (FOLDER / "go").exists():  # noqa: ASYNC110 (another process makes it)
            await asyncio.sleep(0.005)


def halted_before(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def act(*words: Any, **more: Any) -> Any:
        await halt()
        return await step(*words, **more)

    return act


def halted_after(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def act(*words: Any, **more: Any) -> Any:
        outcome = await step(*words, **more)
        await halt()
        return outcome

    return act


def halted_when_frozen(step: Callable[..., None]) -> Callable[..., None]:
    def act(self: Any, within: float) -> None:
        step(self, within)
        if first():
            while not (FOLDER / "go").exists():
                time.sleep(0.005)

    return act


def arm(phase: str) -> None:
    match phase:
        case "preparing":
            pypi.uv = lambda: FOLDER / "uv"  # type: ignore[assignment]
        case "draining":  # DRAINING is acknowledged, nobody has looked for requests yet
            Resting._quiet = halted_before(Resting._quiet)  # type: ignore[method-assign, assignment]
        case "withdrawing":  # the endpoint is out, nobody has been told
            Resting.withdraw = halted_after(Resting.withdraw)  # type: ignore[method-assign, assignment]
        case "pausing":  # all of it is frozen, its record says that it is ready
            WalkTree.freeze = halted_when_frozen(WalkTree.freeze)  # type: ignore[method-assign]
            CgroupTree.freeze = halted_when_frozen(CgroupTree.freeze)  # type: ignore[method-assign]
            Containers.pause = halted_after(Containers.pause)  # type: ignore[method-assign, assignment]
        case "resuming":  # it runs again, nobody has seen it answer
            driver.until_back = halted_before(driver.until_back)  # type: ignore[assignment, attr-defined]
            readiness.until_back = halted_before(readiness.until_back)  # type: ignore[assignment]


if __name__ == "__main__":
    arm(os.environ["HALT_AT"])
    sys.exit(main())
