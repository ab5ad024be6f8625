"""What the process driver promises of a program that misbehaves, beyond the contract: tree, listeners, ports, log."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import time
from pathlib import Path

import pytest

from services.catalog.model import Local
from services.scaler.core.events import Deaf, Exited
from services.scaler.drivers.base import PauseError, StartError
from services.scaler.drivers.process import ProcessDriver, logs
from tests.contract.drivers.bench import ProcessBench as Bench
from tests.contract.drivers.bench import command, until
from tests.contract.drivers.test_failing import SOON, no_room, refusal
from tests.support.ports import free_port

pytestmark = pytest.mark.process


async def test_a_program_that_never_listens_is_ended_when_its_time_is_over(bench: Bench) -> None:
    said, took = await refusal(bench, bench.service("never", wake=SOON))
    assert "was not ready within 0.7 s: it listens nowhere; expected 127.0.0.1:" in said
    assert "I shall never listen" in said
    assert 0.7 < took < 2.0


async def test_a_program_on_the_wrong_port_is_told_where_it_listens(bench: Bench) -> None:
    wrong = free_port()
    said, _ = await refusal(bench, bench.service("wrong-port", str(wrong), wake=SOON))
    assert re.search(rf"it listens on 127\.0\.0\.1:{wrong} instead of 127\.0\.0\.1:\d+", said)


async def test_a_program_that_listens_on_all_addresses_is_refused(bench: Bench) -> None:
    said, took = await refusal(bench, bench.service("all-addresses"))
    assert re.search(r"listens on 0\.0\.0\.0:\d+, which other machines can reach", said)
    assert took < 1.0


async def test_a_program_may_listen_on_all_addresses_where_that_is_asked_for(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service(local=Local(command("all-addresses").command, expose=True))
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")


async def test_a_port_that_another_program_took_is_never_taken_for_the_replicas_own(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("never", wake=SOON)
    running = await driver.start(service, "svc-1")
    host, _, port = running.endpoints["main"].partition(":")
    said = pytest.raises(StartError, match=rf"port {port} is held by .*pid {os.getpid()}")
    with socket.create_server((host, int(port))), said:
        await driver.ready(service, "svc-1")


async def test_a_program_that_forks_and_leaves_is_ended_with_all_it_left(bench: Bench) -> None:
    # Without a port: else the daemon may answer, and be seen, before what was started has left.
    words = tuple(word.replace("{port}", "0") for word in command("forks-and-leaves").command)
    said, took = await refusal(bench, bench.service(ports=(), local=Local(words)))
    assert "exited with code 0 before it was ready" in said
    assert took < 2.0


@pytest.mark.parametrize("after", ["0", "0.02", "0.05"])
async def test_a_program_that_leaves_when_its_child_listens_is_refused_before_anybody_is_let_go_on(
    bench: Bench, after: str
) -> None:
    said, took = await refusal(bench, bench.service("forks-and-leaves", after, health="tcp"))
    assert "exited with code 0 before it was ready" in said
    if after != "0":  # else it may be gone before its child is seen
        assert "a child of it listens" in said
        assert "foreground" in said
    assert took < 2.0


async def test_a_program_that_waits_for_the_child_that_listens_is_ready_all_the_same(bench: Bench) -> None:
    driver = await bench.driver()
    words = command("good").command
    wrapped = Local(("/bin/sh", "-c", '"$@"; exit $?', "sh", *words))
    await driver.start(service := bench.service(local=wrapped), "svc-1")
    begun = time.monotonic()
    await driver.ready(service, "svc-1")
    assert time.monotonic() - begun < 1.0
    assert driver.alive("svc-1")


async def test_a_program_that_leaves_after_it_was_ready_has_exited_whatever_it_left_serving(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("forks-and-leaves", "0.4")
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    event = await bench.event(Exited)
    assert "exited with code 0" in getattr(event, "reason", "")
    assert bench.processes() == set()


async def test_children_with_sessions_of_their_own_are_frozen_and_ended_too(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("orphans")
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    assert len(bench.processes()) == 2
    await driver.pause(service, "svc-1")
    await driver.resume(service, "svc-1")
    await driver.stop(service, "svc-1")
    assert bench.processes() == set()


async def test_a_tree_that_forks_without_end_can_be_frozen_and_ended(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("breeds", stop_grace=0.2)
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    await asyncio.sleep(0.5)
    await driver.pause(service, "svc-1")
    frozen = bench.processes()
    await asyncio.sleep(0.4)
    assert bench.processes() == frozen
    await driver.resume(service, "svc-1")
    await driver.stop(service, "svc-1")
    assert bench.processes() == set()


async def test_a_log_that_is_flooded_stays_bounded(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service("floods")
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    log = bench.layout.service_log("svc")
    await until(lambda: log.with_name("svc.log.2").exists(), within=20)
    kept = sorted(path.name for path in log.parent.iterdir())
    assert set(kept) <= {"svc.log", *(f"svc.log.{number}" for number in range(1, logs.KEPT + 1))}


async def test_a_program_that_loses_a_child_after_a_thaw_is_not_paused_again_until_its_entry_changes(
    bench: Bench,
) -> None:
    driver = await bench.driver()
    service = bench.service("loses-child-on-thaw")
    bench.configure(driver)
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    await asyncio.sleep(2.1)  # a child younger than that may have been about to end anyway
    await driver.pause(service, "svc-1")
    await asyncio.sleep(0.6)
    await driver.resume(service, "svc-1")
    await until(lambda: driver.pausable("svc") is not None)
    with pytest.raises(PauseError, match="lost 1 of its processes"):
        await driver.pause(service, "svc-1")
    later = ProcessDriver(bench.layout, bench.post, containment=bench.containment)
    bench.configure(later)
    assert later.pausable("svc") == driver.pausable("svc")
    bench.service("loses-child-on-thaw", digest="two")
    bench.configure(later)
    assert later.pausable("svc") is None
    assert not [event for event in bench.events if isinstance(event, Exited)]


async def test_a_listener_that_stays_away_while_the_program_lives_is_told(bench: Bench, tmp_path: Path) -> None:
    driver = await bench.driver()
    service = bench.service("goes-deaf", str(tmp_path / "now"))
    running = await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    await driver.measure(["svc-1"])
    (tmp_path / "now").touch()
    await until(lambda: "I listen no more" in bench.layout.service_log("svc").read_text())
    for _ in range(5):
        await driver.measure(["svc-1"])
    assert bench.events == []  # it may load itself anew
    async with asyncio.timeout(10):
        while not bench.events:
            await driver.measure(["svc-1"])
            await asyncio.sleep(0.2)
    told = bench.events[0]
    assert isinstance(told, Deaf)
    assert told.replica == "svc-1"
    assert f"runs, but no longer listens on {running.endpoints['main']}" in told.reason
    assert driver.alive("svc-1")


async def test_what_was_done_while_nothing_could_be_written_down_is_found_by_the_next(bench: Bench) -> None:
    driver = await bench.driver()
    service = bench.service()
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    with no_room(bench, "svc-1"):
        await driver.pause(service, "svc-1")
        await driver.close()
    later = ProcessDriver(bench.layout, bench.post, containment=bench.containment)
    bench.drivers.append(later)
    assert [(found.replica, found.phase) for found in await later.adopt()] == [("svc-1", "ready")]
    await later.ready(service, "svc-1")  # thawed: it answers
    await later.stop(service, "svc-1")


async def test_a_program_that_cannot_be_looked_after_is_ended_and_not_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(pid: int, flags: int = 0) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    driver = await bench.driver()
    with monkeypatch.context() as without:
        without.setattr(os, "pidfd_open", none_left)
        with pytest.raises(StartError, match="Too many open files"):
            await driver.start(bench.service(), "svc-1")
        assert bench.processes() == set()
    assert bench.records() == []
    assert driver._ports.holders() == []
    assert not driver.alive("svc-1")
    await driver.start(bench.service(), "svc-2")
    await driver.ready(bench.service(), "svc-2")


async def test_the_ports_of_a_replica_that_died_stay_leased_until_stop(bench: Bench, tmp_path: Path) -> None:
    """Until then a gateway may have its address still."""
    driver = await bench.driver()
    service = bench.service("dies-when-told", str(tmp_path / "now"))
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    (tmp_path / "now").touch()
    await bench.event(Exited)
    assert driver._ports.holders() == ["svc-1"]
    await driver.stop(service, "svc-1")
    assert driver._ports.holders() == []
