"""What pruning takes of a hub's data, as docs/containers.md tells it. On an engine of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import DockerHub, Project, docker, eventually, prune_volumes, takes_anonymous_alone, web
from tests.support.engine.private import PrivateEngine, private_engine

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

REST = {"idle_timeout": "5m", "stop_after": "15m"}


@pytest.fixture
def engine() -> Iterator[PrivateEngine]:
    with private_engine("aihub-test/web") as made:
        yield made


def volumes() -> set[str]:
    return set(docker("volume", "ls", "-q").split())


async def with_data(hub: DockerHub, shop: Project) -> str:
    """Wake it, give it data, put it to rest; the name of its volume."""
    assert (await asyncio.to_thread(hub.ask, "/api/svc/"))[0] == 200
    docker("exec", shop.container("svc").id, "python3", "-c", "open('/data/kept', 'w').write('mine')")
    await hub.rested("svc", "stopped")
    return f"{shop.name}_data"


async def test_nothing_that_a_hub_keeps_is_taken_while_it_runs(
    engine: PrivateEngine, project: MakeProject, start: StartHub
) -> None:
    shop = project("shop")
    shop.write({"svc": web("svc", rests=REST, volumes=["data:/data"])}, volumes={"data": {}})
    hub = start(shop)
    volume = await with_data(hub, shop)
    await eventually(lambda: bool(docker("ps", "-q", "--filter", "label=aihub.keeper", "--filter", f"volume={volume}")))
    docker("system", "prune", "-f", "--volumes")
    prune_volumes()
    assert volume in volumes()
    assert shop.containers() == []
    assert (await asyncio.to_thread(hub.ask, "/api/svc/data/kept"))[2] == b"mine"


async def test_after_it_is_down_named_volumes_live_as_long_as_their_containers(
    engine: PrivateEngine, project: MakeProject, start: StartHub
) -> None:
    shop = project("shop")
    shop.write({"svc": web("svc", rests=REST, volumes=["data:/data"])}, volumes={"data": {}})
    hub = start(shop)
    volume = await with_data(hub, shop)
    await asyncio.to_thread(hub.down)
    assert docker("ps", "-q") == ""
    docker("container", "prune", "-f", "--filter", "label!=com.docker.compose.project")
    prune_volumes()
    assert volume in volumes(), "the stopped container still counts as its user"
    docker("container", "prune", "-f")
    if takes_anonymous_alone():
        docker("volume", "prune", "-f")
        assert volume in volumes(), "plain prune takes anonymous volumes alone since Engine 23"
    prune_volumes()
    assert volume not in volumes(), "the page warns of this"
