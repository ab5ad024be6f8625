"""What runs here stands in a real Consul, as long as it runs and no longer."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import pytest

from tests.e2e.registry.conftest import CHROMA, TABBY, MakeHub, ids, renamed, within
from tests.support.consul import Agent

ROOT = Path(__file__).parents[3]
POLICY = ROOT / "config" / "consul" / "policies" / "aihub-scaler.hcl"


async def test_a_service_that_wakes_is_registered_with_the_gateways_address_within_a_second(
    agent: Agent, hubs: MakeHub
) -> None:
    hub = hubs(agent)
    hub.asleep(CHROMA)
    hub.awake(TABBY)
    hub.start()
    await within(2, lambda: agent.instances("tabby"))
    assert await agent.instances("chroma") == []
    hub.awake(CHROMA, "chroma-1", "chroma-2")
    await within(1, lambda: agent.instances("chroma"))
    first, second = sorted(await agent.instances("chroma"), key=lambda entry: str(entry["ID"]))
    assert (first["ID"], second["ID"]) == ("box-chroma-1", "box-chroma-2")
    assert (first["Address"], first["Port"], first["Tags"]) == ("127.0.0.1", 8000, ["on-demand"])
    assert first["Meta"] == {
        "aihub-hub": "box",
        "aihub-replica": "chroma-1",
        "aihub-tier": "on-demand",
        "aihub-path": "/api/chroma",
        "aihub-host": "chroma.localhost",
        "aihub-door": "edge",
    }
    (tabby,) = await agent.instances("tabby")
    assert (tabby["Port"], tabby["Meta"]["aihub-door"], tabby["Tags"]) == (8081, "own", ["persistent"])


async def test_a_service_that_goes_to_sleep_has_no_instance_and_its_state_among_the_keys(
    agent: Agent, hubs: MakeHub
) -> None:
    hub = hubs(agent)
    hub.awake(CHROMA)
    hub.start()
    await within(2, lambda: agent.instances("chroma"))
    before = await agent.value("aihub/box/services/chroma")
    assert before["state"] == "ready"
    hub.asleep(CHROMA, "paused", "idle for 300 s")

    async def asleep() -> bool:
        return await agent.get("/v1/health/service/chroma") == []

    await within(1, asleep)

    async def told() -> bool:
        found = await agent.value("aihub/box/services/chroma")
        return (found["state"], found["reason"]) == ("paused", "idle for 300 s") and found["since"] > before["since"]

    await within(1, told)


async def test_a_service_that_leaves_the_catalogue_leaves_no_key(agent: Agent, hubs: MakeHub) -> None:
    hub = hubs(agent)
    hub.asleep(CHROMA)
    hub.asleep(TABBY)
    hub.start()
    await within(2, lambda: agent.value("aihub/box/services/chroma"))
    hub.forget(CHROMA)

    async def gone() -> bool:
        return await agent.get("/v1/kv/aihub/?keys") == ["aihub/box/services/tabby"]

    await within(1, gone)


async def test_seventy_services_at_once_are_registered_within_a_second(agent: Agent, hubs: MakeHub) -> None:
    hub = hubs(agent)
    hub.start()
    await within(2, lambda: agent.get("/v1/status/leader"))
    for number in range(70):
        hub.awake(renamed(CHROMA, f"service-{number}"))

    async def all_there() -> bool:
        return (
            len(await agent.get("/v1/kv/aihub/?keys") or ()) == 70 and len(await agent.get("/v1/agent/services")) == 70
        )

    await within(1.5, all_there)


async def test_the_check_is_fed_by_the_hub_and_by_nobody_else(agent: Agent, hubs: MakeHub) -> None:
    hub = hubs(agent, ttl=0.6)
    hub.awake(CHROMA)
    hub.start()
    await within(2, lambda: agent.instances("chroma"))
    (check,) = await agent.get("/v1/health/checks/chroma")
    assert (check["Type"], check["Status"]) == ("ttl", "passing")
    loop = asyncio.get_running_loop()
    until = loop.time() + 2.0
    while loop.time() < until:
        assert await ids(agent, "chroma") == ["box-chroma-1"]
        await asyncio.sleep(0.05)


async def test_the_instances_of_a_hub_that_was_killed_turn_critical_and_the_next_life_takes_them_over(
    agent: Agent, hubs: MakeHub
) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.registry.hub_program", agent.url, "0.6", cwd=ROOT
    )
    await within(10, lambda: agent.instances("chroma"))
    program.kill()
    await program.wait()

    async def status() -> object:
        return [check["Status"] for check in await agent.get("/v1/health/checks/chroma")]

    async def critical() -> bool:
        return await status() == ["critical"]

    await within(3, critical)
    hub = hubs(agent)
    hub.awake(CHROMA, "chroma-1")
    hub.start()

    async def passing() -> bool:
        return await status() == ["passing"]

    await within(2, passing)


async def test_what_somebody_else_has_removed_comes_back_with_the_next_feeding(agent: Agent, hubs: MakeHub) -> None:
    hub = hubs(agent, ttl=0.6)
    hub.awake(CHROMA)
    hub.start()
    await within(2, lambda: agent.instances("chroma"))
    await agent.deregister("box-chroma-1")
    await within(2, lambda: agent.instances("chroma"))
    await agent.put("/v1/agent/check/deregister/service:box-chroma-1")

    async def checked() -> bool:
        return bool(await agent.get("/v1/health/checks/chroma"))

    await within(2, checked)


async def test_the_end_of_the_hub_takes_every_word_of_it_back(agent: Agent, hubs: MakeHub) -> None:
    other = await agent.register("chroma", 9000)
    hub = hubs(agent)
    hub.awake(CHROMA)
    hub.asleep(TABBY)
    hub.start()
    await within(2, lambda: agent.value("aihub/box/services/tabby"))
    await hub.stop()
    assert await ids(agent, "chroma") == [other]
    assert await agent.get("/v1/kv/aihub/?keys") is None


async def test_a_new_life_of_the_hub_removes_what_an_earlier_one_left_and_keeps_since_when(
    agent: Agent, hubs: MakeHub
) -> None:
    meta = {"aihub-hub": "box"}
    await agent.register("chroma", 8000, name="box-chroma-7", Meta=meta)
    await agent.register("gone", 8000, name="box-gone-1", Meta=meta)
    left = {"state": "paused", "since": 1700000000.5, "reason": "idle"}
    await agent.put("/v1/kv/aihub/box/services/tabby", left)
    await agent.put("/v1/kv/aihub/box/services/gone", left)
    hub = hubs(agent)
    hub.awake(CHROMA)
    hub.asleep(TABBY, "paused", "idle")
    hub.start()

    async def clean() -> bool:
        keys = await agent.get("/v1/kv/aihub/?keys")
        return keys == ["aihub/box/services/chroma", "aihub/box/services/tabby"]

    await within(2, clean)
    assert await ids(agent, "chroma") == ["box-chroma-1"]
    assert await ids(agent, "gone") == []
    assert await agent.value("aihub/box/services/tabby") == left


async def test_a_fleet_that_cannot_be_read_takes_nothing_back(agent: Agent, hubs: MakeHub) -> None:
    await agent.register("chroma", 8000, name="box-chroma-1", Meta={"aihub-hub": "box"})
    hub = hubs(agent)
    hub.broken = True
    hub.start()

    async def told() -> bool:
        return "broke" in hub.registry.trouble

    await within(2, told)
    await asyncio.sleep(0.5)
    assert await ids(agent, "chroma") == ["box-chroma-1"]
    hub.broken = False
    hub.awake(CHROMA, "chroma-2")

    async def told_anew() -> bool:
        return await ids(agent, "chroma") == ["box-chroma-2"] and not hub.registry.trouble

    await within(2, told_anew)


async def test_two_hubs_on_one_consul_leave_each_other_alone(agent: Agent, hubs: MakeHub) -> None:
    one, two = hubs(agent, "box"), hubs(agent, "box-b")
    for hub in (one, two):
        hub.awake(CHROMA)
        hub.start()

    async def both() -> bool:
        return await ids(agent, "chroma") == ["box-b-chroma-1", "box-chroma-1"]

    await within(2, both)
    await two.stop()
    assert await ids(agent, "chroma") == ["box-chroma-1"]
    assert await agent.get("/v1/kv/aihub/?keys") == ["aihub/box/services/chroma"]
    assert one.foreign == two.foreign == {}


# -- Consul comes and goes ---------------------------------------------------------------------------------------------


async def test_a_consul_that_restarts_and_has_forgotten_everything_is_told_again(agent: Agent, hubs: MakeHub) -> None:
    hub = hubs(agent, ttl=6.0)
    hub.awake(CHROMA)
    hub.asleep(TABBY)
    hub.start()
    await within(2, lambda: agent.instances("chroma"))
    agent.stop()
    hub.awake(TABBY)
    await agent.start()
    await within(6, lambda: agent.instances("chroma"))
    await within(1, lambda: agent.instances("tabby"))
    assert (await agent.value("aihub/box/services/tabby"))["state"] == "ready"
    assert hub.registry.trouble == ""


async def test_a_consul_that_is_away_from_the_start_is_told_once_and_catches_up(
    agent: Agent, hubs: MakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    agent.stop()
    caplog.set_level(logging.INFO)
    hub = hubs(agent)
    hub.awake(CHROMA)
    hub.start()

    async def noticed() -> bool:
        return "does not answer" in hub.registry.trouble

    await within(2, noticed)
    await asyncio.sleep(1)
    assert hub.runs
    assert len([one for one in caplog.records if "goes on without it" in one.getMessage()]) == 1
    await agent.start()
    await within(6, lambda: agent.instances("chroma"))
    assert hub.registry.trouble == ""


async def test_a_hub_ends_at_once_though_consul_is_away(agent: Agent, hubs: MakeHub) -> None:
    hub = hubs(agent)
    hub.awake(CHROMA)
    hub.start()
    await within(2, lambda: agent.instances("chroma"))
    agent.stop()
    async with asyncio.timeout(4):
        await hub.stop()
    assert not hub.runs


# -- access control ----------------------------------------------------------------------------------------------------


async def test_the_shipped_policy_is_all_that_a_hub_needs(guarded: Agent, hubs: MakeHub) -> None:
    token = await guarded.token("aihub-scaler", POLICY.read_text())
    elsewhere = await guarded.register("elsewhere", 9000, Tags=["aihub"])
    hub = hubs(guarded, token=token, ttl=0.6)
    hub.awake(CHROMA)
    hub.start()
    await within(2, lambda: guarded.instances("chroma"))
    await within(2, lambda: guarded.value("aihub/box/services/chroma"))

    async def learnt() -> bool:
        return hub.foreign == {"elsewhere": ("127.0.0.1:9000",)}

    await within(2, learnt)
    hub.asleep(CHROMA)

    async def asleep() -> bool:
        return not await guarded.instances("chroma")

    await within(1, asleep)
    await hub.stop()
    assert await guarded.get("/v1/kv/aihub/?keys") is None
    assert await ids(guarded, "elsewhere") == [elsewhere]
    assert hub.registry.trouble == ""


async def test_a_wrong_token_is_told_once_with_its_remedy_and_nothing_else_breaks(
    guarded: Agent, hubs: MakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub = hubs(guarded, token="11111111-2222-3333-4444-555555555555")
    hub.awake(CHROMA)
    hub.start()

    async def told() -> bool:
        return "denies" in hub.registry.trouble and "AIHUB_CONSUL_TOKEN" in hub.registry.trouble

    await within(2, told)
    await asyncio.sleep(1)
    assert hub.runs
    assert len([one for one in caplog.records if "AIHUB_CONSUL_TOKEN" in one.getMessage()]) == 1
    assert "11111111" not in caplog.text + hub.registry.trouble


async def test_a_token_that_may_only_read_is_told_so(guarded: Agent, hubs: MakeHub) -> None:
    rules = 'service_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }'
    hub = hubs(guarded, token=await guarded.token("reader", rules))
    hub.awake(CHROMA)
    hub.start()

    async def told() -> bool:
        return "denies" in hub.registry.trouble

    await within(2, told)
    assert hub.runs
