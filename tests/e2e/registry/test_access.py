"""The deploy gives the scaler a token of its own: what it may do, and what becomes of those from before."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.deploy.consul_access import RULES, ConsulAccess, ConsulFault
from tests.e2e.registry.conftest import CHROMA, MakeHub, within
from tests.support.consul import Agent

pytestmark = [pytest.mark.process]

POLICY = (Path(__file__).resolve().parents[3] / RULES).read_text("utf-8")


def access(agent: Agent, **more: float) -> ConsulAccess:
    return ConsulAccess(agent.url, agent.management, str(uuid.uuid4()), **more)


async def grant(of: ConsulAccess, rules: str = POLICY) -> bool:
    return await asyncio.to_thread(of.grant, rules)


async def status(agent: Agent, token: str, method: str, path: str, body: str = "") -> int:
    headers = {"X-Consul-Token": token}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, agent.url + path, data=body.encode() or None) as answer,
    ):
        return answer.status


async def test_the_scalers_token_registers_and_may_do_nothing_about_access(guarded: Agent, hubs: MakeHub) -> None:
    given = access(guarded)
    assert await grant(given)
    hub = hubs(guarded, token=given.token)
    hub.start()
    hub.awake(CHROMA)
    await within(2, lambda: guarded.instances("chroma"))
    await within(2, lambda: guarded.value("aihub/box/services/chroma"))
    assert hub.registry.trouble == ""

    async def may(method: str, path: str, body: str = "") -> int:
        return await status(guarded, given.token, method, path, body)

    assert await may("GET", "/v1/acl/token/self") == 200, "it is a token that Consul knows"
    assert await may("GET", "/v1/acl/tokens") == 403
    assert await may("GET", "/v1/acl/policies") == 403
    assert await may("PUT", "/v1/acl/token", '{"Policies": [{"Name": "global-management"}]}') == 403
    assert await may("PUT", "/v1/acl/policy", '{"Name": "more", "Rules": "acl = \\"write\\""}') == 403
    assert await may("GET", "/v1/snapshot") == 403, "it holds every token"
    assert await may("PUT", "/v1/kv/of-others", "x") == 403
    assert await may("PUT", "/v1/agent/leave") == 403


async def test_what_stands_is_left_as_it_is(guarded: Agent) -> None:
    given = access(guarded)
    assert await grant(given)
    before = await guarded.get("/v1/acl/tokens"), await guarded.get("/v1/acl/policies")
    assert not await grant(given)
    assert await asyncio.to_thread(given.revoke_former) == 0
    assert (await guarded.get("/v1/acl/tokens"), await guarded.get("/v1/acl/policies")) == before


async def test_a_new_token_takes_the_place_of_the_one_from_before_and_others_stay(guarded: Agent) -> None:
    first, second = access(guarded), access(guarded)
    others = await guarded.token("theirs", 'key_prefix "" { policy = "read" }')
    await grant(first)
    assert await grant(second)
    for token in (first.token, second.token):
        assert await status(guarded, token, "GET", "/v1/acl/token/self") == 200, "until the scaler has the new one"
    assert await asyncio.to_thread(second.revoke_former) == 1
    assert await status(guarded, first.token, "GET", "/v1/acl/token/self") == 403
    assert await status(guarded, second.token, "GET", "/v1/acl/token/self") == 200
    assert await status(guarded, others, "GET", "/v1/acl/token/self") == 200


async def test_policy_and_token_are_brought_back_to_what_is_shipped(guarded: Agent) -> None:
    given = access(guarded)
    await grant(given, 'acl = "write"')
    mine = await own_token(guarded, given)
    await guarded.put(
        f"/v1/acl/token/{mine['AccessorID']}", {**mine, "Policies": [*mine["Policies"], {"Name": "global-management"}]}
    )
    assert await grant(given)
    assert [one["Name"] for one in (await own_token(guarded, given))["Policies"]] == ["aihub-scaler"]
    assert await status(guarded, given.token, "GET", "/v1/acl/tokens") == 403
    assert not await grant(given)


async def test_a_consul_that_comes_up_late_is_waited_for(guarded: Agent) -> None:
    guarded.stop()
    granting = asyncio.create_task(grant(access(guarded)))
    await guarded.start()
    assert await granting


async def test_a_management_token_that_consul_does_not_know_is_told_with_what_mends_it(guarded: Agent) -> None:
    stranger = replace(access(guarded, patience=0.0), management="unknown")
    with pytest.raises(ConsulFault, match="does not let the deploy manage tokens") as fault:
        await grant(stranger)
    assert "HUB_CONSUL_MANAGEMENT_TOKEN" in fault.value.remedy
    assert "unknown" not in f"{fault.value} {stranger!r}"


async def test_what_is_no_consul_is_told(guarded: Agent) -> None:
    guarded.stop()
    with pytest.raises(ConsulFault, match="does not answer as Consul does"):
        await grant(access(guarded, patience=0.0))


async def own_token(agent: Agent, given: ConsulAccess) -> dict[str, Any]:
    found = [one for one in await agent.get("/v1/acl/tokens") if one["SecretID"] == given.token]
    assert len(found) == 1
    return dict(found[0])
