"""The catalogue changes while the hub runs: a good file is taken, a bad one never replaces it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.support.catalogue import Workshop
from tests.support.clients import client, together
from tests.support.hub import Hub, HubFailed
from tests.support.hub_fixtures import StartHub

pytestmark = [pytest.mark.envoy, pytest.mark.process]

TAKEN_WITHIN = 10.0


async def test_a_good_change_is_taken_while_a_stream_goes_on(workshop: Workshop, start_hub: StartHub) -> None:
    services = {"old": workshop.upstream("old"), "kept": workshop.upstream("kept")}
    hub = start_hub(services)
    async with client(hub.base) as caller:
        stream = asyncio.create_task(caller.stream("kept", 20, 0.2))
        await hub.until("kept", "ready")
        hub.rewrite({"kept": services["kept"], "new": workshop.upstream("new")})
        await _soon(lambda: hub.state("new") != "unknown")
        assert (await caller.get("new", "asyncio")).ok
        assert (await stream).ok
    assert hub.ask("/api/old/")[0] == 404
    assert workshop.starts("kept") == 1


async def test_a_bad_file_never_replaces_a_good_one(workshop: Workshop, start_hub: StartHub) -> None:
    good = {"svc": workshop.upstream("svc")}
    hub = start_hub(good)
    assert hub.ask("/api/svc/")[0] == 200
    for text in ("services: [", "services: {svc: {x-hub: {prot: 1}}}", "", "\0\1\2", "services: {svc: {image: 5}}"):
        hub.catalogue.write_text(text)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert hub.ask("/api/svc/")[2] == b"hello from asyncio\n"
            await asyncio.sleep(0.1)
    hub.rewrite({**good, "new": workshop.upstream("new")})
    await _soon(lambda: hub.state("new") != "unknown")
    assert workshop.starts("svc") == 1


async def test_a_removed_service_is_stopped_and_one_with_a_new_command_is_replaced(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({name: workshop.upstream(name) for name in ("gone", "changed", "kept")})
    async with client(hub.base) as caller:
        (await together([caller.get(name) for name in ("gone", "changed", "kept")])).demand_all_served()
        before = hub.left()
        changed = workshop.upstream("changed", "asyncio", "--keep-alive", "3")
        hub.rewrite({"changed": changed, "kept": workshop.upstream("kept")})
        await _soon(lambda: hub.state("gone") == "unknown")
        await _soon(lambda: len(before - hub.left()) >= 1)
        (await together([caller.get("kept", "asyncio"), caller.get("changed", "asyncio")])).demand_all_served()
    assert workshop.starts("kept") == 1


async def test_requests_go_on_without_a_fault_through_twenty_reloads(workshop: Workshop, start_hub: StartHub) -> None:
    services = {"svc": workshop.upstream("svc", "uvicorn")}
    hub = start_hub(services)
    async with client(hub.base) as caller:
        work = asyncio.create_task(_keep_asking(hub, 6.0))
        for number in range(20):
            extra = {f"extra{number}": workshop.upstream(f"extra{number}")}
            hub.rewrite({**services, **extra})
            await asyncio.sleep(0.25)
        assert (await caller.get("svc", "uvicorn")).ok
        assert await work > 20
    assert workshop.starts("svc") == 1


async def test_a_command_goes_by_what_the_file_says_at_that_moment(workshop: Workshop, start_hub: StartHub) -> None:
    services = {"svc": workshop.upstream("svc")}
    hub = start_hub(services)
    for number in range(10):
        services[f"new{number}"] = workshop.upstream(f"new{number}")
        hub.rewrite(services)
        hub.command_api("GET", f"/v1/services/new{number}/explain")
    assert hub.ask("/api/svc/")[0] == 200
    hub.rewrite({**services, "svc": workshop.upstream("svc", hub={"scaling": {"min_replicas": 1}})})
    with pytest.raises(HubFailed, match="always on"):
        hub.command_api("POST", "/v1/services/svc/sleep?to=stopped")
    hub.rewrite(services)
    hub.command_api("POST", "/v1/services/svc/sleep?to=stopped")


async def test_while_the_file_has_a_fault_commands_go_by_what_it_said_before_and_an_upgrade_is_refused(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"svc": workshop.upstream("svc")})
    hub.catalogue.write_text("services: {svc: {image: 5}}")
    done = hub.cli("wake", "svc")
    assert (done.returncode, "said before" in done.stderr) == (0, True), done.stderr
    refused = hub.cli("upgrade", "svc")
    assert refused.returncode == 1
    assert "have faults" in refused.stderr
    assert f"{hub.catalogue}:1" in refused.stderr
    assert hub.state("svc") == "ready"


async def _keep_asking(hub: Hub, seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    async with client(hub.base, keep=True) as caller:
        while time.monotonic() < end:
            (await together([caller.get("svc", "uvicorn"), caller.post("svc", 100_000)])).demand_all_served()
            count += 2
    return count


async def _soon(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + TAKEN_WITHIN
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
