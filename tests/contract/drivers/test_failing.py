"""What every driver promises of a replica that misbehaves: a clear word in time, and nothing left over."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.catalog.model import Service, Wake
from services.scaler.core.events import Deaf, Exited
from services.scaler.drivers.base import PauseError, StartError
from tests.contract.drivers.bench import Bench

EVERY_DRIVER = True
SOON = Wake(start_timeout=0.7)


async def refusal(bench: Bench, service: Service) -> tuple[str, float]:
    """Start it in vain; what is said, and after how many seconds."""
    driver = await bench.driver()
    await driver.prepare(service, lambda *_: None)
    begun = time.monotonic()
    await driver.start(service, "svc-1")
    with pytest.raises(StartError) as told:
        await driver.ready(service, "svc-1")
    took = time.monotonic() - begun
    assert bench.processes() == set()
    assert bench.records() == []
    assert bench.events == []
    assert not driver.alive("svc-1")
    return str(told.value), took


@contextmanager
def no_room(bench: Bench, replica: str) -> Iterator[None]:
    """Nothing can be written down of it, as on a full disk."""
    in_the_way = bench.layout.replicas / f"{replica}.partial"
    in_the_way.mkdir()
    yield
    in_the_way.rmdir()


async def test_a_program_that_dies_at_once_is_told_at_once_with_its_last_words(bench: Bench) -> None:
    said, took = await refusal(bench, bench.service("dies-at-once"))
    assert "exited with code 3 before it was ready" in said
    assert "I cannot find my model" in said
    assert took < 1.5


async def test_a_program_that_never_listens_is_ended_when_its_time_is_over(bench: Bench) -> None:
    said, took = await refusal(bench, bench.service("never", wake=SOON))
    assert "was not ready within 0.7 s: " in said
    assert "I shall never listen" in said
    assert 0.7 < took < 2.5


async def test_an_unhealthy_program_is_never_ready_and_its_status_is_told(bench: Bench) -> None:
    said, _ = await refusal(bench, bench.service("unhealthy", wake=SOON))
    assert re.search(r"health /health answered 500 ×\d+", said)


async def test_a_stop_while_it_starts_ends_the_start(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("never", stop_grace=1.0)
    await driver.start(service, "svc-1")
    waiting = asyncio.create_task(driver.ready(service, "svc-1"))
    await asyncio.sleep(0.05)
    await driver.stop(service, "svc-1")
    with pytest.raises(StartError, match="was stopped while it started"):
        await waiting


async def test_a_cancelled_wait_for_readiness_leaves_the_replica_running(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("slow", "0.3")
    await driver.start(service, "svc-1")
    waiting = asyncio.create_task(driver.ready(service, "svc-1"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert driver.alive("svc-1")
    await driver.ready(service, "svc-1")


async def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("stubborn", stop_grace=1.0)
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    begun = time.monotonic()
    assert "did not end within 1 s of SIGTERM and was killed" in await driver.stop(service, "svc-1")
    assert 1.0 < time.monotonic() - begun < 2.5
    assert bench.processes() == set()


async def test_a_program_that_dies_of_being_frozen_is_not_paused_again(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("dies-on-thaw")
    bench.configure(driver)
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    await driver.pause(service, "svc-1")
    await asyncio.sleep(0.6)
    with pytest.raises(PauseError, match="exited with code 7"):
        await driver.resume(service, "svc-1")
    assert "exited with code 7" in (driver.pausable("svc") or "")


async def test_a_cancelled_pause_leaves_everything_running(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("family")
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    for wait in (0.0, 0.001, 0.003, 0.01):
        pausing = asyncio.create_task(driver.pause(service, "svc-1"))
        await asyncio.sleep(wait)
        pausing.cancel()
        [done] = (await asyncio.wait({pausing}))[0]
        if done.cancelled():
            [measured] = await driver.measure(["svc-1"])
            assert bench.events == [], measured
        await driver.resume(service, "svc-1")


async def test_a_listener_that_stays_away_while_the_program_lives_is_told(bench: Bench, tmp_path: Path) -> None:
    driver = await bench.driver()
    service = bench.service("goes-deaf", str(tmp_path / "now"))
    running = await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    (tmp_path / "now").touch()
    async with asyncio.timeout(15):
        while not bench.events:
            await driver.measure(["svc-1"])
            await asyncio.sleep(0.2)
    told = bench.events[0]
    assert isinstance(told, Deaf)
    assert told.replica == "svc-1"
    assert f"runs, but no longer listens on {running.endpoints['main']}" in told.reason
    assert driver.alive("svc-1")


async def test_a_disk_that_takes_no_record_hinders_no_step_of_a_life(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service()
    await driver.start(service, "svc-1")
    with no_room(bench, "svc-1"):
        await driver.ready(service, "svc-1")
        await driver.pause(service, "svc-1")
        await driver.resume(service, "svc-1")
        await driver.stop(service, "svc-1")
        assert bench.processes() == set()
        assert not driver.alive("svc-1")


async def test_an_exit_is_told_although_nothing_can_be_written_down(bench: Bench, tmp_path: Path) -> None:
    driver = await bench.driver()
    service = bench.service("dies-when-told", str(tmp_path / "now"))
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    with no_room(bench, "svc-1"):
        (tmp_path / "now").touch()
        await bench.event(Exited)
        assert bench.processes() == set()


async def test_a_start_that_cannot_be_written_down_begins_nothing(bench: Bench) -> None:
    driver = await bench.driver()
    with no_room(bench, "svc-1"):
        with pytest.raises(StartError):
            await driver.start(bench.service(), "svc-1")
        assert bench.processes() == set()


async def test_a_full_disk_is_told_not_met(bench: Bench) -> None:
    driver = await bench.driver()
    low = bench.make(disk_floor=1 << 60)
    bench.drivers.append(low)
    await low.adopt()
    assert {name: well for name, _, well, _ in driver.describe()}["disk"]
    assert not {name: well for name, _, well, _ in low.describe()}["disk"]
