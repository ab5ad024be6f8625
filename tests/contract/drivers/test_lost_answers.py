"""A connection to the engine that breaks after it has acted and before it has answered: the request comes twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.layout import Layout
from services.scaler.core.events import Meddled
from services.scaler.drivers.docker import DockerDriver, intents
from services.scaler.drivers.docker.book import What
from services.scaler.drivers.docker.engine import EngineRefused
from tests.contract.drivers.bench import until
from tests.contract.drivers.docker_bench import DockerBench, docker
from tests.support.engine.relay import Relay

CONTAINERS = True
pytestmark = pytest.mark.docker


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    made = Relay(tmp_path / "relay.sock")
    await made.mend()
    yield made
    assert made.to_lose == 0, "an answer that was to be lost was never given"
    await made.cut()


@pytest.fixture
async def driver(yard: DockerBench, relay: Relay) -> AsyncIterator[DockerDriver]:
    """With a service, by way of the relay."""
    yard.service()
    made = yard.make(host=relay.host)
    yard.configure(made)
    await made.adopt()
    yield made
    relay.tell_events()
    await made.close()


async def awake(driver: DockerDriver, yard: DockerBench) -> str:
    running = await driver.start(yard.services["svc"], "svc-1")
    await driver.ready(yard.services["svc"], "svc-1")
    return str(running.container)


def state(name: str) -> str:
    return docker("inspect", name, "--format", "{{.State.Status}}")


@pytest.mark.parametrize("verb", ["start", "pause", "unpause", "stop"])
async def test_a_verb_whose_answer_was_lost_has_one_outcome_and_no_news(
    yard: DockerBench, driver: DockerDriver, relay: Relay, verb: str
) -> None:
    service = yard.services["svc"]
    relay.lose_answer(f"/{verb}")
    name = await awake(driver, yard)
    await driver.pause(service, "svc-1")
    assert state(name) == "paused"
    await driver.resume(service, "svc-1")
    assert state(name) == "running"
    await driver.pause(service, "svc-1")
    docker("unpause", name)
    await yard.event(Meddled)
    assert yard.events == [Meddled("svc-1", "running")]
    await driver.resume(service, "svc-1")
    await driver.stop(service, "svc-1")
    assert state(name) == "exited"
    assert len(yard.events) == 1


async def test_a_cancelled_pause_whose_answer_was_lost_is_no_news_when_its_event_comes_late(
    yard: DockerBench, driver: DockerDriver, relay: Relay
) -> None:
    service = yard.services["svc"]
    name = await awake(driver, yard)
    relay.hold_events()
    relay.lose_answer("/pause")
    pausing = asyncio.create_task(driver.pause(service, "svc-1"))
    await until(lambda: relay.to_lose == 0)
    pausing.cancel()
    [done] = (await asyncio.wait({pausing}))[0]
    assert done.cancelled()
    assert state(name) == "running"
    seen: list[Any] = []
    driver._watch.also.append(lambda event: seen.append(event["Action"]))
    relay.tell_events()
    await until(lambda: "unpause" in seen)
    await asyncio.sleep(0.6)  # in which what is no echo would be told
    assert yard.events == []


async def test_what_the_engine_says_late_of_a_freeze_that_is_over_is_no_news(
    yard: DockerBench, driver: DockerDriver
) -> None:
    service = yard.services["svc"]
    await awake(driver, yard)
    await driver.pause(service, "svc-1")
    await driver.resume(service, "svc-1")
    live = driver._roster.get("svc-1")
    assert live is not None
    await until(lambda: not live._expected)
    # As an engine under load tells it: its runtime's own news, behind those of our verbs.
    for action in (What.PAUSED, What.UNPAUSED):
        event = {"Actor": {"ID": live.record.container}, "Action": action.value.removesuffix("d"), "Type": "container"}
        driver._watch._take(event)
    await asyncio.sleep(0.6)  # in which what is no echo would be told
    assert yard.events == []


async def test_a_freeze_by_somebody_else_just_after_a_thaw_is_news_all_the_same(
    yard: DockerBench, driver: DockerDriver
) -> None:
    service = yard.services["svc"]
    name = await awake(driver, yard)
    await driver.pause(service, "svc-1")
    await driver.resume(service, "svc-1")
    docker("pause", name)
    await yard.event(Meddled)
    assert yard.events == [Meddled("svc-1", "paused")]


async def test_events_lost_with_their_stream_do_not_hide_what_somebody_does_later(
    yard: DockerBench, driver: DockerDriver, relay: Relay
) -> None:
    service = yard.services["svc"]
    name = await awake(driver, yard)
    relay.hold_events()
    await driver.pause(service, "svc-1")
    await driver.resume(service, "svc-1")
    await relay.cut()
    await until(lambda: not driver._watch.connected.is_set())
    relay.tell_events()
    await relay.mend()
    await until(driver._watch.connected.is_set)
    docker("pause", name)
    await yard.event(Meddled)


@pytest.mark.parametrize("request_line", ["/containers/create", "/connect", "/disconnect", "DELETE"])
async def test_what_is_made_for_the_hub_itself_is_made_once(
    yard: DockerBench, driver: DockerDriver, relay: Relay, request_line: str, layout: Layout
) -> None:
    engine, label = driver.engine, {"aihub.data": layout.mark}
    network = f"{yard.project}_default"
    await driver.prepare(yard.services["svc"], lambda *_: None)
    relay.lose_answer(request_line)
    name = f"aihub-{layout.mark}-{os.urandom(2).hex()}"
    made = await intents.create(engine, {"Image": "aihub-test/web", "Labels": label}, name)
    assert docker("ps", "-aq", "--no-trunc", "--filter", f"label=aihub.data={layout.mark}").split() == [made]
    await intents.connect(engine, made, network, {"Aliases": ["other"]})
    await intents.disconnect(engine, made, network)
    await engine.delete(f"containers/{made}", force=True)
    assert docker("ps", "-aq", "--filter", f"label=aihub.data={layout.mark}") == ""


async def test_a_name_that_another_container_has_is_refused_after_a_lost_answer_too(
    yard: DockerBench, driver: DockerDriver, relay: Relay, layout: Layout
) -> None:
    await driver.prepare(yard.services["svc"], lambda *_: None)
    [taken] = yard.containers()
    relay.lose_answer("/containers/create")
    with pytest.raises(EngineRefused, match="already in use"):
        await intents.create(driver.engine, {"Image": "aihub-test/web", "Labels": {"aihub.data": layout.mark}}, taken)


async def test_patience_begins_when_the_engine_goes_away_and_not_when_it_was_asked(
    yard: DockerBench, driver: DockerDriver, relay: Relay
) -> None:
    name = await awake(driver, yard)
    driver.engine._patience = 1.0
    waiting = asyncio.create_task(driver.engine.post(f"containers/{name}/wait"))
    await asyncio.sleep(1.5)
    await relay.cut()
    await relay.mend()
    docker("kill", name)
    assert (await waiting)["StatusCode"] == 137
