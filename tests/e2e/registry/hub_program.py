"""`python -m tests.e2e.registry.hub_program URL TTL`: a hub with one service awake, to be killed."""

from __future__ import annotations

import asyncio
import sys

from services.catalog.model import Port, Service
from services.scaler.registry.consul_registry import ConsulRegistry
from services.scaler.registry.desired import ConsulAt, Here
from services.scaler.registry.standing import Standing

CHROMA = Service("chroma", ports=(Port("main", 8000),), path="/api/chroma")


async def main(url: str, ttl: float) -> None:
    awake = Standing(CHROMA, "ready", "", ("chroma-1",))
    await ConsulRegistry(ConsulAt(url), Here("box"), lambda: (awake,), lambda _: None, ttl=ttl).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
