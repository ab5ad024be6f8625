"""One service `echo` behind a real Envoy, and a client that shows answers as they came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from services.catalog.model import Port, Publish, Service, Wake
from tests.support.envoy import Actor, Echo, Rig, echo, rig
from tests.support.ports import free_port

NAME = "echo"


def service(name: str = NAME, **fields: object) -> Service:
    plain = Service(
        name,
        ports=(Port("main", 8000),),
        publishes=(Publish("main", "127.0.0.1", free_port()),),
        path=f"/api/{name}",
        health="/healthz",
        wake=Wake(hold=20.0),
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


@pytest.fixture
async def upstream() -> AsyncIterator[Echo]:
    async with echo() as server:
        yield server


@pytest.fixture
async def hub(upstream: Echo) -> AsyncIterator[Rig]:
    """`echo` asleep; it is there as soon as it is asked for."""
    async with rig(service()) as made:
        made.director.actors[NAME] = Actor({"main": upstream.endpoint})
        yield made


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.DummyCookieJar()
    wide = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=timeout, connector=wide) as session:
        yield session


@pytest.fixture
def api(hub: Rig) -> str:
    return f"{hub.base}/api/{NAME}"
