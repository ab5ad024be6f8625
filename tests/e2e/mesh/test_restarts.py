"""Parts go away and come back: what is warm goes on, what is held is answered, what crashed is repaired."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from services.scaler.mesh import subscription
from services.scaler.mesh.subscription import Answer, Subscription
from tests.e2e.mesh.conftest import NAME, service
from tests.support.envoy import Actor, Echo, Rig, eventually, rig

pytestmark = pytest.mark.envoy


async def test_what_is_held_survives_a_new_scaler(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    hub.director.actors[NAME].wakes_after = None
    asking = [asyncio.ensure_future(client.post(f"{api}/x", data=b"y" * 1000)) for _ in range(50)]
    await hub.director.held(NAME, 50)
    await hub.stop_control()
    asking.append(asyncio.ensure_future(client.get(f"{api}/late")))
    await asyncio.sleep(0.3)
    await hub.start_control()
    await hub.director.held(NAME, 51)
    hub.director.wake(NAME)
    assert {(await task).status for task in asking} == {200}


async def test_warm_services_go_on_without_the_scaler(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.wake(NAME)
    await hub.seen(upstream.endpoint)
    await hub.stop_control()
    for _ in range(20):
        async with client.get(f"{api}/x") as answer:
            assert answer.status == 200
    await hub.start_control()


async def test_a_new_scaler_sends_only_what_differs(
    upstream: Echo, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, ...]] = []
    due = Subscription.due

    def noting(self: Subscription, snapshot: object) -> Answer | None:
        answer = due(self, snapshot)  # type: ignore[arg-type]
        if answer is not None:
            sent.append(tuple(a.cluster for a in answer.assignments))
        return answer

    monkeypatch.setattr(subscription.Subscription, "due", noting)
    names = [f"s{number}" for number in range(20)]
    async with rig(*(service(name) for name in names)) as hub:
        for name in names:
            hub.director.actors[name] = Actor({"main": upstream.endpoint})
        hub.director.wake("s1")
        hub.director.wake("s2")
        await hub.seen(upstream.endpoint)
        await hub.stop_control()
        await eventually(lambda: not hub.connected.is_set())
        sent.clear()
        hub.director.actors["s2"].state = "stopped"
        await hub.start_control()
        await asyncio.wait_for(hub.connected.wait(), 10)
        hub.director.wake("s3")
        async with client.get(f"{hub.base}/api/s3/x") as answer:
            assert answer.status == 200
        await eventually(lambda: any("s3" in clusters for clusters in sent))
        assert {name for clusters in sent for name in clusters} <= {"s2", "s2~bg", "s3", "s3~bg"}


async def test_a_killed_envoy_comes_back_with_everything(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hub.director.wake(NAME)
    await hub.seen(upstream.endpoint)
    hub.kill_envoy()
    await eventually(lambda: not hub.connected.is_set())
    await hub.start_envoy()
    async with client.get(f"{api}/x") as answer:
        assert answer.status == 200
    await hub.director.rest(NAME)
    async with client.get(f"{api}/x") as answer:
        assert answer.status == 200


async def test_a_crash_is_repaired_by_the_next_request(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    first, second = Echo(), Echo()
    await first.start()
    await second.start()
    actor = hub.director.actors[NAME]
    actor.endpoints = {"main": first.endpoint}
    hub.director.wake(NAME)
    await hub.seen(first.endpoint)
    async with client.post(f"{api}/x", data=b"1") as answer:
        assert answer.status == 200
    await first.stop()
    # The layer above sees the death when the next check comes, and starts another.
    actor.state, actor.endpoints, actor.wakes_after = "failed", {"main": second.endpoint}, 0.1
    for _ in range(5):
        async with client.post(f"{api}/x", data=b"2") as answer:
            assert answer.status == 200, await answer.text()
    assert len(first.seen) == 1
    assert len(second.seen) == 5
    await second.stop()


async def test_a_new_catalogue_is_taken_in_and_cuts_nothing(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    own = f"http://127.0.0.1:{hub.catalog.services[NAME].publishes[0].number}"
    async with client.ws_connect(f"{own}/ws") as ws:
        more = service("more")
        before = hub.catalog
        hub.catalog = type(before)({**before.services, "more": more})
        hub.director.actors["more"] = Actor({"main": upstream.endpoint})
        hub.mesh.configure(hub.catalog)
        for url in (f"{hub.base}/api/more/x", f"http://127.0.0.1:{more.publishes[0].number}/x"):
            async with asyncio.timeout(5):
                await _served(client, url)
        hub.mesh.configure(before)
        async with asyncio.timeout(5):
            await _gone(client, f"{hub.base}/api/more/x")
        await ws.send_str("still")
        assert await ws.receive_str(timeout=5) == "echo still"


async def _served(client: aiohttp.ClientSession, url: str) -> None:
    """The files are taken in one after the other."""
    while True:
        try:
            async with client.get(url) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.01)


async def _gone(client: aiohttp.ClientSession, url: str) -> None:
    while True:
        async with client.get(url) as answer:
            if answer.status == 404:
                return
        await asyncio.sleep(0.01)


async def test_the_same_catalogue_writes_nothing(hub: Rig) -> None:
    files = {path: path.stat().st_mtime_ns for path in hub.layout.envoy.iterdir()}
    assert {path.name for path in files} == {"bootstrap.json", "cds.pb", "lds.json", "rds.pb", "rds-own.pb"}
    hub.mesh.configure(hub.catalog)
    assert {path: path.stat().st_mtime_ns for path in hub.layout.envoy.iterdir()} == files
    assert all(json.loads(path.read_text()) for path in files if path.suffix == ".json")


async def test_envoy_has_nothing_to_complain_about(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    async with client.get(f"{api}/x") as answer:
        assert answer.status == 200
    complaints = [line for line in hub.log().splitlines() if "[warning]" in line or "[error]" in line]
    assert complaints == []
