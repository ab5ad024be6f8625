"""What a held request is told: a page, an answer in words, or nothing until it is served."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from services.scaler.core.effects import Refusal
from services.scaler.core.events import DemandKind
from services.scaler.mesh import held
from tests.e2e.mesh.conftest import NAME
from tests.support.envoy import Rig

pytestmark = pytest.mark.envoy
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none", "Accept": "text/html,*/*;q=0.8"}
OLD_BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def own(hub: Rig) -> str:
    return f"http://127.0.0.1:{hub.catalog.services[NAME].publishes[0].number}"


@pytest.mark.parametrize("headers", [NAVIGATION, OLD_BROWSER])
async def test_a_browser_gets_the_page_after_a_second_while_the_program_waits_on(
    hub: Rig, client: aiohttp.ClientSession, api: str, headers: dict[str, str]
) -> None:
    actor = hub.director.actors[NAME]
    actor.wakes_after, actor.view = 1.6, {"phase": "starting", "progress": 0.25, "estimate": 12.0}
    program = asyncio.ensure_future(client.get(f"{api}/x"))
    begun = time.monotonic()
    async with client.get(f"{own(hub)}/x?y=1", headers=headers) as answer:
        assert 0.9 < time.monotonic() - begun < 1.5
        assert answer.status == 503
        assert answer.content_type == "text/html"
        assert "script-src 'sha256-" in answer.headers["content-security-policy"]
        assert answer.headers["retry-after"] == "3"
        assert answer.headers["cache-control"] == "no-store"
        text = await answer.text()
    assert "about 12 s" in text
    assert 'data-ask="/.hub/state"' in text
    assert not program.done()
    assert (await program).status == 200


async def test_the_page_below_a_path_asks_the_hubs_health(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    hub.director.actors[NAME].wakes_after = None
    async with client.get(f"{api}/x", headers=NAVIGATION) as answer:
        assert f'data-ask="/api/health/{NAME}"' in await answer.text()


async def test_a_form_is_held(hub: Rig, client: aiohttp.ClientSession) -> None:
    hub.director.actors[NAME].wakes_after = 1.3
    async with client.post(f"{own(hub)}/x", data={"a": "b"}, headers=NAVIGATION) as answer:
        assert answer.status == 200
    assert hub.director.actors[NAME].asked[0].kind is DemandKind.REQUEST


async def test_the_end_of_the_hold_is_told_in_json(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    actor = hub.director.actors[NAME]
    actor.wakes_after = None
    actor.view = {"phase": "downloading", "progress": 0.5, "estimate": 40.0, "queue_position": 2}
    async with client.get(f"{api}/x", headers={"X-Hub-Wait": "0.2"}) as answer:
        assert answer.status == 503
        assert answer.headers["retry-after"] == "3"
        assert await answer.json() == {
            "error": {
                "code": "waiting",
                "message": f"{NAME} is still starting",
                "service": NAME,
                "phase": "downloading",
                "progress": 0.5,
                "estimate_s": 40.0,
                "queue_position": 2,
                "retry_after_s": 3,
            }
        }


async def test_a_wait_known_to_outlast_the_hold_is_told_at_once_and_wakes_all_the_same(
    hub: Rig, client: aiohttp.ClientSession, api: str
) -> None:
    actor = hub.director.actors[NAME]
    actor.wakes_after, actor.view = 0.5, {"estimate": 21.0}  # the hold is 20 s
    begun = time.monotonic()
    async with client.get(f"{api}/x") as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["estimate_s"] == 21.0
    assert time.monotonic() - begun < 0.4
    async with client.get(f"{api}/x", headers={"X-Hub-Wait": "600"}) as answer:
        assert answer.status == 200
    assert [request.hold for request in actor.asked] == pytest.approx([0.0, 600.0], abs=0.1)
    assert actor.wakes == 1


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refusal.FAILED, 502),
        (Refusal.BACKOFF, 503),
        (Refusal.NO_ROOM, 503),
        (Refusal.UNAVAILABLE, 501),
        (Refusal.SHUTDOWN, 503),
    ],
)
async def test_every_refusal_has_its_status_and_reason(
    hub: Rig, client: aiohttp.ClientSession, api: str, refusal: Refusal, status: int
) -> None:
    director = hub.director
    director.actors[NAME].wakes_after = None
    for headers in ({}, NAVIGATION):
        asking = asyncio.ensure_future(client.get(f"{api}/x", headers=headers))
        await director.held(NAME, 1)
        (request,) = director.actors[NAME].pending.values()
        director.refuse(request, refusal, "because of <this>", 7.2)
        async with await asking as answer:
            assert answer.status == status
            assert answer.headers["retry-after"] == "8"
            text = await answer.text()
        if headers:
            assert "<this>" not in text
        else:
            assert json.loads(text)["error"]["code"] == refusal.value
            assert json.loads(text)["error"]["message"] == "because of <this>"


async def test_a_failed_start_offers_to_try_again(hub: Rig, client: aiohttp.ClientSession) -> None:
    hub.director.actors[NAME].fails = "exit code 3\nModuleNotFoundError: <b>"
    async with client.get(f"{own(hub)}/x", headers=NAVIGATION) as answer:
        assert answer.status == 502
        text = await answer.text()
    assert "ModuleNotFoundError: &lt;b&gt;" in text
    assert "Try again" in text


async def test_more_than_the_most_are_refused_and_the_others_served(
    hub: Rig, client: aiohttp.ClientSession, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MOST_HELD", 20)
    hub.director.actors[NAME].wakes_after = None
    asking = [asyncio.ensure_future(client.get(f"{api}/{number}")) for number in range(20)]
    await hub.director.held(NAME, 20)
    async with client.get(f"{api}/x") as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "crowded"
    hub.director.wake(NAME)
    assert {(await task).status for task in asking} == {200}
