"""kill -9 of every part in every phase of a wake and of a rest.

Whatever is killed: nothing runs twice, no request that changes something arrives twice, no answer is wrong or silently
short, every later request is answered, and soon after the part is back the hub is as it was.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.catalogue import Workshop
from tests.support.clients import Outcome, Verdict, client
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub
from tests.support.phases import HALTING_SCALER, NAME, PHASES, Scene
from tests.support.process_tree import alive, mentioning

pytestmark = [pytest.mark.envoy, pytest.mark.process]

RECOVERED_WITHIN = 2.0
NEIGHBOUR = "neighbour"
HONEST = {Verdict.SERVED, Verdict.REFUSED, Verdict.BAD_GATEWAY, Verdict.CUT, Verdict.CLOSED}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("part", ["service", "scaler", "envoy", "supervisor"])
async def test_a_kill_is_recovered_and_doubles_nothing(
    workshop: Workshop, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, part: str, phase: str
) -> None:
    services = {NAME: PHASES[phase].service(workshop), NEIGHBOUR: workshop.upstream(NEIGHBOUR)}
    hub = start_hub(services, scaler=_scaler(monkeypatch, workshop, phase))
    async with client(hub.base, patience=30) as caller:
        neighbour = await caller.get(NEIGHBOUR, "asyncio")
        stream = asyncio.create_task(caller.stream(NEIGHBOUR, 40, 0.05))
        scene = Scene(hub, workshop, caller, [])
        await PHASES[phase].reach(scene)
        assert await asyncio.to_thread(scene.life) == PHASES[phase].life
        _kill(scene, part)
        scene.go_on()
        back = await _back(hub, part)
        outcomes = [await task for task in scene.held]
        later = await _served(lambda: caller.get(NAME, "asyncio"))
        took = time.monotonic() - back
        again = await caller.get(NEIGHBOUR, "asyncio")
        streamed = await stream
    told = "\n".join(map(str, [*outcomes, streamed, later, again])) + hub.said()
    _honest(part, [*outcomes, streamed], told)
    assert again.ok, told
    if part in ("service", "scaler"):
        assert streamed.ok, told
    if part != "supervisor":
        assert again.instance == neighbour.instance, told
    if part == "scaler":
        assert {outcome.verdict for outcome in outcomes} <= {Verdict.SERVED}, told
    assert took < RECOVERED_WITHIN + _longest_start(phase), told
    _nothing_twice(workshop, part, phase)


async def test_cold_requests_made_while_the_scaler_is_down_are_answered_when_it_is_back(
    workshop: Workshop, start_hub: StartHub
) -> None:
    names = [f"cold{number}" for number in range(5)]
    hub = start_hub({name: workshop.upstream(name) for name in names})
    async with client(hub.base, patience=30) as caller:
        hub.kill("scaler")
        calls = [caller.post(name, 300_000, identifier=f"{name}-{number}") for name in names for number in range(4)]
        outcomes = await asyncio.gather(*calls)
    assert [str(outcome) for outcome in outcomes if not outcome.ok] == [], hub.said()
    for name in names:
        assert Counter(workshop.posts(name)) == {f"{name}-{number}": 1 for number in range(4)}
        assert workshop.starts(name) == 1


async def test_five_hundred_held_requests_survive_the_death_of_the_scaler(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({NAME: workshop.upstream(NAME, "aiohttp", "--delay", "1.5")})
    async with client(hub.base, patience=40) as caller:
        calls = asyncio.gather(*(caller.get(NAME, "aiohttp") for _ in range(500)))
        await hub.until(NAME, "starting")
        hub.kill("scaler")
        outcomes = await calls
    assert [str(outcome) for outcome in outcomes if not outcome.ok] == [], hub.said()
    assert workshop.starts(NAME) == 1


async def test_the_scaler_may_die_five_times_in_a_row(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({NAME: workshop.upstream(NAME)})
    async with client(hub.base, patience=30) as caller:
        first = await caller.get(NAME, "asyncio")
        for _ in range(5):
            hub.kill("scaler")
            outcome = await caller.get(NAME, "asyncio")
            assert (outcome.ok, outcome.instance) == (True, first.instance), hub.said()
            await _back(hub, "scaler")
    assert workshop.starts(NAME) == 1


async def test_a_service_that_dies_at_every_request_never_hangs_its_callers(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({NAME: workshop.upstream(NAME)})
    async with client(hub.base, patience=20) as caller:
        for _ in range(5):
            status, _, _ = await asyncio.to_thread(hub.ask, f"/api/{NAME}/quit?code=9", limit=20)
            assert status in (502, 503)
        later = await _served(lambda: caller.get(NAME, "asyncio"), limit=60)
    assert later.ok


def _scaler(monkeypatch: pytest.MonkeyPatch, workshop: Workshop, phase: str) -> str | None:
    if not PHASES[phase].halts:
        return None
    monkeypatch.setenv("HALT_AT", phase)
    monkeypatch.setenv("HALT_IN", str(workshop.folder))
    return HALTING_SCALER


def _kill(scene: Scene, part: str) -> None:
    if part != "service":
        scene.hub.kill(part)
    elif alive(pid := scene.program()):
        os.kill(pid, signal.SIGKILL)


async def _back(hub: Hub, part: str) -> float:
    """The moment at which the killed part runs again; a supervisor is started by hand."""
    if part == "supervisor":
        await asyncio.to_thread(hub.up)
    end = time.monotonic() + 15
    while not {"supervisor", "scaler", "envoy"} <= hub.pids().keys() or not await asyncio.to_thread(hub.reachable):
        assert time.monotonic() < end, f"{part} is not back\n{hub.said()}"
        await asyncio.sleep(0.01)
    return time.monotonic()


async def _served(ask: Callable[[], asyncio.Future[Outcome]], limit: float = 20.0) -> Outcome:
    """Ask until served; a refusal is honest, a wrong answer is not."""
    end = time.monotonic() + limit
    while not (outcome := await ask()).ok:
        assert outcome.verdict in HONEST, outcome
        assert time.monotonic() < end, outcome
        await asyncio.sleep(0.1)
    return outcome


def _honest(part: str, outcomes: list[Outcome], told: str) -> None:
    """No wrong or silently short answer; only what lost its own carrier may end without one."""
    verdicts = {outcome.verdict for outcome in outcomes}
    assert verdicts <= HONEST, told
    if part in ("service", "scaler"):
        assert Verdict.CLOSED not in verdicts, told


def _nothing_twice(workshop: Workshop, part: str, phase: str) -> None:
    doubled = {post: count for post, count in Counter(workshop.posts(NAME)).items() if count > 1}
    assert doubled == {}
    assert len(mentioning(f"{workshop.folder}/{NAME}.events")) <= 1
    for record in workshop.folder.glob("*.events"):
        # Each program looks at its start whether another copy of it lives.
        assert "beside" not in record.read_text(), record
    assert workshop.starts(NEIGHBOUR) == (1 if part != "supervisor" else workshop.starts(NEIGHBOUR))
    # One more start where the program itself was killed or had been stopped, or its keeper ended it.
    spare = 1 if part in ("service", "supervisor") or phase == "stopping" else 0
    assert workshop.starts(NAME) <= 1 + spare


def _longest_start(phase: str) -> float:
    """Seconds that the program itself takes until it can answer."""
    return {"starting": 1.0, "stopping": 2.0}.get(phase, 0.0)
