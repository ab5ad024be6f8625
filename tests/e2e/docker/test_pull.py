"""Images that cannot be had: whoever waits is told what is missing and what mends it, and others are not disturbed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import IMAGE, DockerHub, caller, docker, eventually, web
from tests.support.engine.registry import Registry

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

LONG = {"idle_timeout": "5m", "stop_after": "15m"}


@pytest.fixture
async def registries() -> AsyncIterator[tuple[Registry, Registry]]:
    """One that is open and lacks most tags, one that wants a login."""
    both = Registry(), Registry(locked=True)
    for one in both:
        await one.start()
    yield both
    for one in both:
        await one.close()


async def told(hub: DockerHub, name: str) -> tuple[int, dict[str, Any], bool]:
    """Status, error and whether it says when to come again."""
    status, headers, body = await asyncio.to_thread(hub.ask, f"/api/{name}/")
    assert headers["content-type"] == "application/json", body
    return status, json.loads(body)["error"], int(headers["retry-after"]) > 0


async def test_the_waiting_caller_is_told_what_cannot_be_pulled_and_why(
    project: MakeProject, start: StartHub, registries: tuple[Registry, Registry]
) -> None:
    opened, locked = registries
    images = {
        "missing": (f"{opened.place}/good:2", "its registry has no such tag"),
        "private": (f"{locked.place}/private:1", "docker login"),
        "nowhere": ("127.0.0.1:9/none:1", "its registry cannot be reached"),
    }
    town = project("town")
    entries = {name: web(name, rests=LONG, image=image) for name, (image, _) in images.items()}
    town.write({**entries, "calm": web("calm"), "well": web("well", rests=LONG)})
    hub = start(town)
    async with caller(town, "calm") as inside:
        for name, (image, reason) in images.items():
            status, error, again = await told(hub, name)
            assert status in (502, 503)
            assert again
            assert image in error["message"]
            assert reason in error["message"]
            # The same to one who calls it by name, inside.
            status, answer = await inside.peer(f"http://{name}:8080/")
            assert status in (502, 503)
            assert image in json.loads(answer["body"])["error"]["message"]
        assert (await inside.peer("http://well:8080/"))[0] == 200
    assert hub.states()["missing"] == "failed"


async def test_an_image_that_comes_later_is_found(project: MakeProject, start: StartHub) -> None:
    town = project("town")
    image = f"{town.name}:1"
    town.write({"svc": web("svc", rests=LONG, image=image, pull_policy="never")})
    hub = start(town)
    status, error, _ = await told(hub, "svc")
    assert status in (502, 503)
    assert f"docker pull {image}" in error["message"]
    docker("tag", IMAGE, image)
    try:
        await eventually(lambda: hub.ask("/api/svc/")[0] == 200)
    finally:
        town.remove()
        docker("rmi", image, check=False)
