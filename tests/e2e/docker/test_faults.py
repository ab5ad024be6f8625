"""Parts of a hub over containers are killed in the middle of everything, and containers vanish under load.

Whatever happens: no container runs twice, no request that changes something arrives twice, no answer is wrong or
silently short, every later request is answered, and nothing is left over.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.catalogue import Rests
from tests.support.clients import Client, Outcome, Verdict, client
from tests.support.container_yard import Yard
from tests.support.docker_hub import DockerHub, Project, caller, docker, eventually, web
from tests.support.engine.private import PrivateEngine, private_engine
from tests.support.engine.relay import Relay
from tests.support.hub import PARTS
from tests.support.phases import HALTING_SCALER, NAME, PHASES, Scene

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

NEIGHBOUR = "neighbour"
RECOVERED_WITHIN = 5.0
DOWN_WITHOUT_ENGINE = 18.0
HONEST = {Verdict.SERVED, Verdict.REFUSED, Verdict.BAD_GATEWAY, Verdict.CUT, Verdict.CLOSED}
KILLS = [
    *(("scaler", phase) for phase in ("starting", "withdrawing", "pausing", "resuming", "stopping")),
    ("supervisor", "starting"),
    *(("edge", phase) for phase in ("starting", "ready")),
    *(("container", phase) for phase in ("starting", "ready")),
    *(("removed", phase) for phase in ("ready", "paused")),
]
OTHERS = [
    (part, phase)
    for part in ("scaler", "supervisor", "edge", "container", "removed")
    for phase in PHASES
    if phase != "preparing" and (part, phase) not in KILLS
]


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


@pytest.mark.parametrize(("part", "phase"), KILLS)
async def test_a_kill_is_recovered_and_doubles_nothing(
    yard: Yard, project: MakeProject, start: StartHub, monkeypatch: pytest.MonkeyPatch, part: str, phase: str
) -> None:
    await _killed(yard, project("kill"), start, monkeypatch, part, phase)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "phase"), OTHERS)
async def test_a_kill_in_any_other_phase_is_recovered_and_doubles_nothing(
    yard: Yard, project: MakeProject, start: StartHub, monkeypatch: pytest.MonkeyPatch, part: str, phase: str
) -> None:
    await _killed(yard, project("kill"), start, monkeypatch, part, phase)


async def _killed(
    yard: Yard, made: Project, start: StartHub, monkeypatch: pytest.MonkeyPatch, part: str, phase: str
) -> None:
    made.write({NAME: PHASES[phase].service(yard), NEIGHBOUR: yard.upstream(NEIGHBOUR)})
    hub = start(made, scaler=_scaler(monkeypatch, yard, phase))
    async with client(hub.base, patience=30) as asker:
        neighbour = await asker.get(NEIGHBOUR, "asyncio")
        stream = asyncio.create_task(asker.stream(NEIGHBOUR, 60, 0.05))
        scene = Scene(hub, yard, asker, [])
        await PHASES[phase].reach(scene)
        assert await asyncio.to_thread(scene.life) == PHASES[phase].life
        await asyncio.to_thread(_kill, hub, made, part)
        scene.go_on()
        back = await _back(hub, part)
        later = await _served(lambda: asker.get(NAME, "asyncio"))
        took = time.monotonic() - back
        outcomes = [await task for task in scene.held]
        again = await asker.get(NEIGHBOUR, "asyncio")
        streamed = await stream
    told = "\n".join(map(str, [*outcomes, streamed, later, again])) + hub.said()
    assert {outcome.verdict for outcome in [*outcomes, streamed]} <= HONEST, told
    assert again.ok, told
    assert again.instance == neighbour.instance, told
    if part not in ("supervisor", "edge"):
        assert streamed.ok, told
    if part == "scaler":
        assert {outcome.verdict for outcome in outcomes} <= {Verdict.SERVED}, told
    assert took < RECOVERED_WITHIN, told
    _nothing_twice(hub, made, yard, spare=1 if part in ("container", "removed") or phase == "stopping" else 0)


async def test_inner_gateways_that_are_killed_or_removed_come_back_and_calls_by_name_with_them(
    yard: Yard, project: MakeProject, start: StartHub
) -> None:
    made = project("inner")
    made.write({NAME: yard.upstream(NAME, rests=Rests(idle=0.5)), "asker": web("asker")})
    hub = start(made)
    url = f"http://{NAME}:8080/"
    async with caller(made, "asker") as asker:
        assert (await asker.peer(url))[0] == 200
        for wound in (("kill",), ("stop", "-t", "0"), ("rm", "-f")):
            [gateway] = hub.own_containers("aihub.gateway")
            await asyncio.to_thread(docker, *wound, gateway)
            await eventually(lambda: _running(hub.own_containers("aihub.gateway")) == 1, told=hub.said)
            await _served_by_name(asker.peer, url, hub)
    assert yard.starts(NAME) == 1


async def test_containers_that_are_removed_by_hand_under_load_are_made_anew_and_nothing_arrives_twice(
    yard: Yard, project: MakeProject, start: StartHub
) -> None:
    dice = random.Random(5)
    names = [f"tool{number}" for number in range(6)]
    made = project("removed")
    made.write({name: yard.upstream(name, "asyncio", "--alone", rests=Rests(0.4, 1.5)) for name in names})
    hub = start(made)
    stop = asyncio.Event()
    numbers = itertools.count()
    async with client(hub.base, patience=30) as asker:
        load = asyncio.gather(*(_use(asker, names, numbers, stop, random.Random(n)) for n in range(8)))
        for _ in range(10):
            await asyncio.sleep(dice.uniform(0.2, 1.0))
            await asyncio.to_thread(_remove_one, made, dice)
        await asyncio.sleep(1.0)
        stop.set()
        outcomes = [outcome for found in await load for outcome in found]
        later = [await _served(lambda name=name: asker.get(name, "asyncio")) for name in names]  # type: ignore[misc]
    told = "\n".join(str(outcome) for outcome in outcomes if not outcome.ok) + hub.said()
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    print(dict(verdicts))
    assert verdicts.keys() <= HONEST, told
    assert verdicts[Verdict.SERVED] > len(outcomes) * 0.8, told
    assert all(outcome.ok for outcome in later), told
    for name in names:
        _nothing_twice(hub, made, yard, name=name, spare=1000)


@pytest.fixture
def engine() -> Iterator[PrivateEngine]:
    with private_engine("aihub-test/web") as made:
        yield made


@pytest.fixture
def lasting_engine() -> Iterator[PrivateEngine]:
    with private_engine("aihub-test/web", restores=True) as made:
        yield made


async def test_an_engine_that_is_restarted_during_twenty_wakes_costs_no_later_request_and_doubles_none(
    yard: Yard, engine: PrivateEngine, project: MakeProject, start: StartHub
) -> None:
    names = [f"tool{number:02}" for number in range(20)]
    made = project("restart")
    made.write({name: yard.upstream(name, "asyncio", "--alone") for name in names})
    hub = start(made)
    numbers = itertools.count()
    async with client(hub.base, patience=90) as asker:
        wakes = [
            asyncio.create_task(asker.post(name, 50_000, identifier=f"{name}-{next(numbers)}"))
            for name in names
            for _ in range(2)
        ]
        await eventually(lambda: sum(yard.starts(name) for name in names) >= 5, limit=60, told=hub.said)
        await asyncio.to_thread(engine.stop)
        await asyncio.to_thread(engine.start)
        outcomes = await asyncio.gather(*wakes)
        later = await asyncio.gather(*(_served(lambda name=name: asker.get(name, "asyncio"), 60) for name in names))  # type: ignore[misc]
    told = "\n".join(str(outcome) for outcome in [*outcomes, *later] if not outcome.ok) + hub.said()
    print(Counter(outcome.verdict for outcome in outcomes))
    assert {outcome.verdict for outcome in outcomes} <= HONEST, told
    assert all(outcome.ok for outcome in later), told
    for name in names:
        _nothing_twice(hub, made, yard, name=name, spare=1)
    await eventually(lambda: _running(hub.own_containers("aihub.gateway")) == 1, told=hub.said)


async def test_an_engine_that_is_replaced_under_its_containers_disturbs_none_of_them(
    yard: Yard, lasting_engine: PrivateEngine, project: MakeProject, start: StartHub
) -> None:
    made = project("replaced")
    services = {name: yard.upstream(name, "asyncio", "--alone") for name in ("awake", "cold")}
    services["frozen"] = yard.upstream("frozen", "asyncio", "--alone", rests=Rests(idle=0.3))
    made.write(services)
    hub = start(made)
    async with client(hub.base, patience=60) as asker:
        for name in ("awake", "frozen"):
            assert (await asker.get(name, "asyncio")).ok, hub.said()
        await hub.until("frozen", "paused")
        stream = asyncio.create_task(asker.stream("awake", 60, 0.1))
        await asyncio.to_thread(lasting_engine.stop)
        meanwhile = [await asker.get("awake", "asyncio") for _ in range(20)]
        held = [asyncio.create_task(asker.post(name, 1000, identifier=name)) for name in ("cold", "frozen")]
        await hub.until("cold", {"installing", "starting"})
        await asyncio.to_thread(lasting_engine.start)
        outcomes = [*meanwhile, *[await one for one in held], await stream]
    assert [str(outcome) for outcome in outcomes if not outcome.ok] == [], hub.said()
    for name in services:
        _nothing_twice(hub, made, yard, name=name, spare=0)


async def test_a_hub_whose_engine_is_gone_goes_down_all_the_same(
    yard: Yard, project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = project("gone")
    made.write({name: yard.upstream(name) for name in ("one", "two")})
    relay = Relay(tmp_path / "engine.sock")
    await relay.mend()
    hub = DockerHub(tmp_path, [made])
    try:
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("DOCKER_HOST", relay.host)
            await asyncio.to_thread(hub.up)
        async with client(hub.base) as asker:
            assert (await asker.get("one", "asyncio")).ok, hub.said()
        await relay.cut()
        begun = time.monotonic()
        await asyncio.to_thread(hub.down)
        assert time.monotonic() - begun < DOWN_WITHOUT_ENGINE, hub.said()
        assert hub.pids() == {}
    finally:
        await asyncio.to_thread(hub.end)
        hub.remove()


def _scaler(monkeypatch: pytest.MonkeyPatch, yard: Yard, phase: str) -> str | None:
    if not PHASES[phase].halts:
        return None
    monkeypatch.setenv("HALT_AT", phase)
    monkeypatch.setenv("HALT_IN", str(yard.folder))
    return HALTING_SCALER


def _kill(hub: DockerHub, made: Project, part: str) -> None:
    match part:
        case "container":
            docker("kill", made.container(NAME).id)
        case "removed":
            docker("rm", "-f", made.container(NAME).id)
        case "edge":
            hub.kill("envoy")
        case _:
            hub.kill(part)


async def _back(hub: DockerHub, part: str) -> float:
    """The moment at which the killed part runs again; a supervisor is started by hand."""
    if part == "supervisor":
        await asyncio.to_thread(hub.up)
    await eventually(lambda: hub.pids().keys() >= PARTS and hub.reachable(), told=hub.said)
    return time.monotonic()


async def _served(ask: Callable[[], Awaitable[Outcome]], limit: float = 20.0) -> Outcome:
    """Ask until served; a refusal is honest, a wrong answer is not."""
    end = time.monotonic() + limit
    while not (outcome := await ask()).ok:
        assert outcome.verdict in HONEST, outcome
        assert time.monotonic() < end, f"never served again: {outcome}"
        await asyncio.sleep(0.05)
    return outcome


async def _served_by_name(ask: Callable[[str], Awaitable[tuple[int, object]]], url: str, hub: DockerHub) -> None:
    end = time.monotonic() + 15
    while (answer := await ask(url))[0] != 200:
        assert time.monotonic() < end, f"{answer}\n{hub.said()}"
        await asyncio.sleep(0.05)


def _running(containers: list[str]) -> int:
    return docker("inspect", "-f", "{{.State.Running}}", *containers, check=False).split().count("true")


def _nothing_twice(hub: DockerHub, made: Project, yard: Yard, *, spare: int, name: str = NAME) -> None:
    """Told by the program itself, and by the engine."""
    posts = Counter(yard.posts(name))
    assert max(posts.values(), default=1) == 1, (posts, hub.said())
    assert not yard.beside(name), hub.said()
    assert yard.starts(name) <= 1 + spare, hub.said()
    assert len(made.containers(name)) == 1, (made.containers(name), hub.said())


async def _use(
    asker: Client, names: list[str], numbers: itertools.count[int], stop: asyncio.Event, dice: random.Random
) -> list[Outcome]:
    outcomes = []
    while not stop.is_set():
        outcomes.append(await _any_request(asker, dice.choice(names), numbers, dice))
        await asyncio.sleep(dice.uniform(0.0, 0.3))
    return outcomes


def _any_request(asker: Client, name: str, numbers: itertools.count[int], dice: random.Random) -> Awaitable[Outcome]:
    match dice.randrange(3):
        case 0:
            return asker.get(name, "asyncio")
        case 1:
            return asker.post(name, 100_000, identifier=f"{name}-{next(numbers)}")
        case _:
            return asker.stream(name, 5, 0.05)


def _remove_one(made: Project, dice: random.Random) -> None:
    if found := made.containers():
        docker("rm", "-f", dice.choice(found).id, check=False)
