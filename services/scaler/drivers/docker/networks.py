"""Runs of compose that may make a project's networks: one at a time while any of these is missing.

Engine 20.10 lets two runs make a network of the same name each, and from then on nothing can be connected to either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from services.scaler.drivers.docker.arrangement import Arranged, Stacks
from services.scaler.drivers.docker.engine import Engine


async def missing(engine: Engine, arranged: Arranged) -> dict[str, Mapping[str, Any]]:
    """Key in the file → what compose says of it. Raises EngineAway, EngineRefused."""
    present = {row["Name"] for row in await engine.get("networks")}
    return {
        key: said
        for key, said in arranged.networks.items()
        if said.get("name", key) not in present and not said.get("external")
    }


@asynccontextmanager
async def turn(engine: Engine, stacks: Stacks, arranged: Arranged) -> AsyncIterator[None]:
    """Around one run. Raises EngineAway, EngineRefused."""
    async with stacks.turn(arranged.stack.project):
        if await missing(engine, arranged):
            yield
            return
    yield
