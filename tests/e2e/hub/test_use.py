"""What keeps a service awake, and what must not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import Client, Outcome, client, together
from tests.support.hub import ASLEEP, Hub
from tests.support.hub_fixtures import StartHub

pytestmark = [pytest.mark.envoy, pytest.mark.process]

IDLE = 0.5
LASTING = 4.0
BETWEEN_READINGS = 5.0
QUICK = Rests(idle=IDLE, rest="paused")

Call = Callable[[Client, str], Coroutine[Any, Any, Outcome]]
LONG_USES: dict[str, Call] = {
    "a stream": lambda caller, name: caller.stream(name, 8, LASTING / 8),
    "a stream with one early tick": lambda caller, name: caller.stream(name, 2, LASTING),
    "a slow answer": lambda caller, name: caller.slow(name, LASTING),
    "an upload": lambda caller, name: caller.post(name, 2_000_000, pace=LASTING / 31),
    "a chunked upload": lambda caller, name: caller.post(name, 2_000_000, pace=LASTING / 31, chunked=True),
    "a silent websocket": lambda caller, name: caller.socket(name, 5, 0.0, silent=LASTING),
}


@pytest.mark.parametrize("kind", ["asyncio", "uvicorn", "node", "go"])
async def test_uses_that_outlast_the_idle_timeout_are_never_cut(
    workshop: Workshop, start_hub: StartHub, kind: str
) -> None:
    services = {f"use{n}": workshop.upstream(f"use{n}", kind, rests=QUICK) for n in range(len(LONG_USES))}
    hub = start_hub(services)
    async with client(hub.base) as caller:
        tally = await together(call(caller, name) for call, name in zip(LONG_USES.values(), services, strict=True))
    tally.demand_all_served()
    assert {workshop.starts(name) for name in services} == {1}
    for name in services:
        await hub.asleep(name)


async def test_a_health_question_neither_wakes_a_service_nor_keeps_it_awake(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"svc": workshop.upstream("svc", rests=QUICK)})
    status, _, body = hub.ask("/api/svc/health")
    assert status == 200, body
    assert workshop.starts("svc") == 0
    async with client(hub.base) as caller:
        (await together([caller.get("svc", "asyncio")])).demand_all_served()
    asked = await _until_asleep(hub, lambda: hub.ask("/api/svc/health"))
    assert asked > 0
    assert workshop.starts("svc") == 1
    assert hub.ask("/api/svc/health")[0] == 200
    assert hub.state("svc") in ASLEEP


async def test_ignored_paths_and_agents_do_not_keep_a_service_awake(workshop: Workshop, start_hub: StartHub) -> None:
    wake = {"ignore_paths": ["/size/7"], "ignore_agents": ["Uptime-Kuma"]}
    hub = start_hub({"svc": workshop.upstream("svc", rests=Rests(idle=3.0, rest="paused"), hub={"wake": wake})})
    async with client(hub.base) as caller:
        (await together([caller.get("svc", "asyncio")])).demand_all_served()
    assert hub.ask("/api/svc/size/7")[2] == b"0123456"

    def visit() -> None:
        hub.ask("/api/svc/size/7")
        hub.ask("/api/svc/", headers={"User-Agent": "Uptime-Kuma/1.23"})

    await _until_asleep(hub, visit)
    status, headers, _ = hub.ask("/api/svc/", headers={"User-Agent": "Uptime-Kuma/1.23"})
    assert status == 200
    assert headers["x-hub-state"] == "asleep"
    assert hub.state("svc") in ASLEEP
    assert workshop.starts("svc") == 1


async def test_who_only_looks_is_answered_by_the_service_from_its_first_answer_on(
    workshop: Workshop, start_hub: StartHub
) -> None:
    """Also in the moment before the gateway has its address."""
    hub = start_hub({"svc": workshop.upstream("svc", hub={"wake": {"ignore_paths": ["/size/7"]}})})
    for _ in range(8):
        assert hub.ask("/api/svc/")[0] == 200
        assert hub.ask("/api/svc/size/7")[2] == b"0123456"
        hub.command_api("POST", "/v1/services/svc/sleep?to=stopped")


async def test_work_without_a_request_keeps_a_service_awake(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub(_workers(workshop))
    await _set_to_work(hub)
    await hub.asleep("idles")
    end = time.monotonic() + 2.5 * BETWEEN_READINGS
    while time.monotonic() < end:
        assert hub.state("works") not in ASLEEP
        await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_work_that_outlasts_its_request_keeps_a_service_awake_however_short_its_idle_time_is(
    workshop: Workshop, start_hub: StartHub
) -> None:
    """Five seconds of it are less than the tenth of a minute that counts; it is measured before each rest."""
    hub = start_hub({"svc": workshop.upstream("svc", rests=Rests(idle=2.0))})
    assert hub.ask("/api/svc/spin?s=5")[0] == 200
    begun = time.monotonic()
    await hub.asleep("svc")
    assert 5.0 < time.monotonic() - begun < 12.0


async def test_a_service_rests_a_minute_after_its_work_is_done(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub(_workers(workshop))
    await _set_to_work(hub)
    begun = time.monotonic()
    await hub.asleep("works", limit=120)
    assert time.monotonic() - begun > 55


def _workers(workshop: Workshop) -> dict[str, object]:
    """CPU is read every few seconds, over the last minute: 1 % of it is done in the first second."""
    rests = Rests(idle=BETWEEN_READINGS + 1)
    return {name: workshop.upstream(name, rests=rests, hub={"busy": {"cpu": "1%"}}) for name in ("works", "idles")}


async def _set_to_work(hub: Hub) -> None:
    async with client(hub.base) as caller:
        (await together([caller.get("works"), caller.get("idles")])).demand_all_served()
    assert hub.ask("/api/works/spin?s=2")[0] == 200


async def test_a_pinned_service_stays_awake_until_it_is_unpinned(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({name: workshop.upstream(name, rests=QUICK) for name in ("pinned", "other")})
    assert hub.cli("pin", "pinned", "--for", "1h").returncode == 0
    async with client(hub.base) as caller:
        (await together([caller.get("pinned"), caller.get("other")])).demand_all_served()
    await hub.asleep("other")
    await asyncio.sleep(4 * IDLE)
    assert hub.state("pinned") not in ASLEEP
    assert hub.cli("unpin", "pinned").returncode == 0
    await hub.asleep("pinned")


async def test_a_service_rests_in_two_steps_and_comes_back_from_each(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({"svc": workshop.upstream("svc", rests=Rests(idle=IDLE, stop_after=3.0))})
    async with client(hub.base) as caller:
        first = await caller.get("svc", "asyncio")
        await hub.until("svc", "paused")
        thawed = await caller.get("svc", "asyncio")
        await hub.until("svc", "stopped")
        again = await caller.get("svc", "asyncio")
    assert [str(outcome) for outcome in (first, thawed, again) if not outcome.ok] == []
    assert thawed.instance == first.instance
    assert again.instance != first.instance
    assert workshop.starts("svc") == 2


async def test_what_was_paused_when_the_scaler_died_is_stopped_in_its_time(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"svc": workshop.upstream("svc", rests=Rests(idle=IDLE, stop_after=4.0))})
    async with client(hub.base) as caller:
        assert (await caller.get("svc", "asyncio")).ok
    await hub.until("svc", "paused")
    hub.kill("scaler")
    await hub.until("svc", "stopped")


async def test_sleep_by_command_goes_straight_to_the_asked_depth(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({"svc": workshop.upstream("svc")})
    for depth in ("paused", "stopped"):
        assert hub.cli("wake", "svc").returncode == 0
        await hub.until("svc", "ready")
        assert hub.cli("sleep", "svc", "--to", depth).returncode == 0
        await hub.until("svc", depth)


@pytest.mark.parametrize("verb", ["sleep", "restart"])
async def test_a_command_judges_by_now_and_not_by_the_last_reading(
    workshop: Workshop, start_hub: StartHub, verb: str
) -> None:
    """The request was in flight when the gateway was read last, and is over."""
    hub = start_hub({"svc": workshop.upstream("svc")})
    async with client(hub.base) as caller:
        assert (await caller.slow("svc", 1.5)).ok
        assert (await caller.slow("svc", 1.5)).ok
    hub.command_api("POST", f"/v1/services/svc/{verb}")


async def _until_asleep(hub: Hub, visit: Callable[[], object], limit: float = 30.0) -> int:
    """Visit every tenth of a second until the service `svc` sleeps; return how often it was visited awake."""
    end, visits = time.monotonic() + limit, 0
    while hub.state("svc") not in ASLEEP:
        assert time.monotonic() < end, f"awake after {limit} s\n{hub.said()}"
        await asyncio.to_thread(visit)
        visits += 1
        await asyncio.sleep(0.1)
    return visits
