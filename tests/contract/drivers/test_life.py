"""What every driver promises of a replica that behaves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from services.catalog.model import Busy, Port, Scaling
from services.scaler.core.events import Exited, Measured, Meddled
from services.scaler.drivers.base import Driver, PauseError
from tests.contract.drivers.bench import Bench, ProcessBench, text, until

EVERY_DRIVER = True


async def test_a_started_replica_answers_where_it_was_said_to(bench: Bench) -> None:
    driver: Driver = await bench.driver()
    service = bench.service()
    running = await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    assert bench.is_from(running, "svc-1", await bench.who(running.endpoints["main"]))
    assert driver.container("svc-1") == running.container
    assert driver.alive("svc-1")
    assert "ended by SIGTERM" in await driver.stop(service, "svc-1")
    assert not driver.alive("svc-1")
    assert bench.events == []
    assert bench.records() == []
    assert bench.processes() == set()


async def test_every_verb_asked_for_twice_ends_in_the_same_state(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service()
    assert await driver.start(service, "svc-1") == await driver.start(service, "svc-1")
    await asyncio.gather(driver.ready(service, "svc-1"), driver.ready(service, "svc-1"))
    await asyncio.gather(driver.pause(service, "svc-1"), driver.pause(service, "svc-1"))
    await asyncio.gather(driver.resume(service, "svc-1"), driver.resume(service, "svc-1"))
    await asyncio.gather(driver.stop(service, "svc-1"), driver.stop(service, "svc-1"))
    assert "before" in await driver.stop(service, "svc-1")
    assert bench.events == []


async def test_a_pause_that_meets_a_stop_leaves_no_record(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service()
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    stopping = asyncio.create_task(driver.stop(service, "svc-1"))
    await asyncio.sleep(0)
    for verb in (driver.pause, driver.resume):
        with pytest.raises(PauseError, match="is not running"):
            await verb(service, "svc-1")
    await stopping
    assert bench.records() == []


async def test_a_slow_program_is_ready_when_it_answers_and_not_before(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("slow", "0.5")
    await driver.start(service, "svc-1")
    begun = time.monotonic()
    await driver.ready(service, "svc-1")
    assert 0.3 < time.monotonic() - begun < 0.9


async def test_a_paused_replica_uses_nothing_and_answers_again_after_resume(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("family")
    running = await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    if isinstance(bench, ProcessBench):
        await until(lambda: len(bench.processes()) == 3)  # the fourth has wiped its environment by then
    members = bench.processes()
    await driver.pause(service, "svc-1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await text(running.endpoints["main"])
    assert bench.processes() == members
    await driver.resume(service, "svc-1")
    assert bench.is_from(running, "svc-1", await bench.who(running.endpoints["main"]))


async def test_stopping_a_paused_replica_lets_it_end_by_its_own_signal(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service()
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    await driver.pause(service, "svc-1")
    assert "ended by SIGTERM" in await driver.stop(service, "svc-1")


async def test_an_exit_that_nobody_asked_for_is_told_once_with_its_reason(bench: Bench, tmp_path: Path) -> None:
    driver = await bench.driver()
    service = bench.service("dies-when-told", str(tmp_path / "now"))
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    (tmp_path / "now").touch()
    event = await bench.event(Exited)
    assert isinstance(event, Exited)
    assert event.replica == "svc-1"
    assert "exited with code 6" in event.reason
    assert "told to die" in event.reason
    assert bench.records() == []
    assert "before" in await driver.stop(service, "svc-1")
    assert len(bench.events) == 1


async def test_a_kill_from_outside_is_told_also_while_paused(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("family")
    running = await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    await driver.pause(service, "svc-1")
    await bench.kill(running)
    event = await bench.event(Exited)
    assert "SIGKILL" in getattr(event, "reason", "")
    assert bench.processes() == set()


async def test_two_replicas_of_one_service_have_ports_of_their_own(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service(stateless=True, scaling=Scaling(max_replicas=2))
    first, second = [await driver.start(service, name) for name in ("svc-1", "svc-2")]
    await asyncio.gather(*(driver.ready(service, name) for name in ("svc-1", "svc-2")))
    assert first.endpoints != second.endpoints
    for one, name in ((first, "svc-1"), (second, "svc-2")):
        assert bench.is_from(one, name, await bench.who(one.endpoints["main"]))


async def test_every_port_of_a_service_listens_before_it_is_ready(bench: Bench) -> None:
    driver = await bench.driver()
    ports = (Port("main", 80), Port("other", 81))
    service = bench.service("two-ports", "{port:other}", ports=ports)
    running = await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    assert await text(running.endpoints["other"])


async def test_a_service_without_a_port_is_ready_when_it_lives(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("never", ports=())
    assert (await driver.start(service, "svc-1")).endpoints == {}
    await driver.ready(service, "svc-1")


async def test_measuring_tells_memory_and_the_cpu_of_the_whole_tree(bench: Bench) -> None:
    driver = await bench.driver()
    idle, busy = bench.service("family"), bench.service("burns", "30", name="busy")
    bench.configure(driver)
    for service, replica in ((idle, "svc-1"), (busy, "busy-1")):
        await driver.start(service, replica)
        await driver.ready(service, replica)
    async with asyncio.timeout(20):
        while True:
            found = {one.replica: one for one in await driver.measure(["svc-1", "busy-1", "nobody-1"])}
            assert found.keys() == {"svc-1", "busy-1"}
            assert all(1 << 20 < one.memory < 200 << 20 for one in found.values())
            if found["busy-1"].cpu > 0.3 / 60:
                break
            await asyncio.sleep(0.2)
    assert found["svc-1"].cpu < found["busy-1"].cpu


async def test_a_busy_probe_counts(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service(busy=Busy(http="/busy"))
    bench.configure(driver)
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    [measured] = await driver.measure(["svc-1"])
    assert isinstance(measured, Measured)
    assert measured.busy


async def test_somebody_elses_hand_is_noticed_once(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service()
    running = await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    await bench.freeze(running)
    await driver.measure(["svc-1"])
    await driver.measure(["svc-1"])
    await bench.event(Meddled)
    assert bench.events == [Meddled("svc-1", "paused")]
    await driver.resume(service, "svc-1")
    assert bench.is_from(running, "svc-1", await bench.who(running.endpoints["main"]))
    assert len(bench.events) == 1
