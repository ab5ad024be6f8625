"""kill -9 of the scaler at every step of a replica's life, and what the next one makes of what it finds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from services.scaler.core.events import Adopted, Exited
from services.scaler.drivers.base import StartError
from services.scaler.drivers.process.driver import owner
from services.scaler.drivers.process.platform import detect
from tests.contract.drivers.conftest import Bench, until
from tests.support.process_tree import alive, everything, process

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[3]
SCALER = ROOT / "tests" / "support" / "programs" / "fault_scaler.py"
Leave = Callable[..., Awaitable[None]]


@pytest.fixture
async def leave(bench: Bench) -> AsyncIterator[Leave]:
    """Run a scaler up to a step and kill it there."""
    begun: list[asyncio.subprocess.Process] = []

    async def run(until: str, *mode: str) -> None:
        scaler = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCALER),
            str(bench.layout.data),
            str(bench.containment),
            until,
            *(mode or ("good",)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        begun.append(scaler)
        assert scaler.stdout is not None
        async with asyncio.timeout(20):
            while line := (await scaler.stdout.readline()).decode().strip():
                if line == until:
                    scaler.send_signal(signal.SIGKILL)
                    break
            assert await scaler.wait() == -signal.SIGKILL

    yield run
    for scaler in begun:
        # Its replicas hold no pipe of ours; only the transport wants closing.
        scaler._transport.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("until", "phase"),
    [
        ("spawned", "starting"),
        ("outside", "ready"),
        ("starting", "starting"),
        ("ready", "ready"),
        ("frozen", "ready"),
        ("paused", "paused"),
        ("thawed", "ready"),
        ("resumed", "ready"),
    ],
)
async def test_what_ran_is_taken_up_in_its_true_phase_and_not_begun_again(
    bench: Bench, leave: Leave, until: str, phase: str
) -> None:
    await leave(until, "family")
    before = bench.processes()
    service = bench.service("family")
    driver = await bench.driver()
    [record] = [json.loads(path.read_text()) for path in bench.layout.replicas.iterdir()]
    assert record["phase"] == phase
    assert bench.processes() == before or until in ("spawned", "outside", "starting")
    assert driver.alive("svc-1")
    if phase == "paused":
        await driver.resume(service, "svc-1")
    else:
        await driver.ready(service, "svc-1")
        [measured] = await driver.measure(["svc-1"])
        assert bench.events == [], measured
    await driver.pause(service, "svc-1")
    await driver.resume(service, "svc-1")
    await driver.stop(service, "svc-1")
    assert bench.processes() == set()
    assert bench.records() == []


async def test_adopted_replicas_are_told_with_their_endpoints_and_their_entry(bench: Bench, leave: Leave) -> None:
    await leave("ready")
    driver = await bench.driver()
    [pid] = bench.processes()
    record = json.loads((bench.layout.replicas / "svc-1.json").read_text())
    again = await bench.driver()
    port = record["ports"]["main"]
    assert record["pid"] == pid == process(pid).pid  # type: ignore[union-attr]
    assert await again.adopt() == [Adopted("svc-1", "svc", {"main": f"127.0.0.1:{port}"}, pid, "ready", "one")]
    assert driver.alive("svc-1")


@pytest.mark.parametrize("until", ["recorded", "stopping"])
async def test_what_never_began_or_was_ending_is_gone_and_not_told(bench: Bench, leave: Leave, until: str) -> None:
    await leave(until, "stubborn")
    driver = await bench.driver()
    assert not driver.alive("svc-1")
    assert bench.records() == []
    assert bench.processes() == set()


async def test_a_replica_that_died_meanwhile_takes_its_children_and_its_record_with_it(
    bench: Bench, leave: Leave
) -> None:
    await leave("ready", "family")
    record = json.loads((bench.layout.replicas / "svc-1.json").read_text())
    session = {pid for pid, item in everything().items() if item.session == record["pid"]}
    os.kill(record["pid"], signal.SIGKILL)
    await until(lambda: not alive(record["pid"]))
    await bench.driver()
    assert bench.processes() == set()
    assert not any(alive(pid) for pid in session)
    assert bench.records() == []
    groups = detect(owner(bench.layout.data), bench.containment).groups
    assert groups is None or not (groups / "svc-1").exists()


async def test_a_process_that_belongs_to_no_record_is_ended(bench: Bench, leave: Leave) -> None:
    await leave("ready", "family")
    (bench.layout.replicas / "svc-1.json").write_text("{ half a rec")
    await bench.driver()
    assert bench.processes() == set()


async def test_the_pid_of_another_boot_or_of_another_program_is_never_touched(bench: Bench, leave: Leave) -> None:
    await leave("ready")
    path = bench.layout.replicas / "svc-1.json"
    record = json.loads(path.read_text())
    [pid] = bench.processes()
    os.kill(pid, signal.SIGKILL)
    other = await asyncio.create_subprocess_exec("sleep", "100", start_new_session=True)
    for wrong in ({"pid": other.pid}, {"pid": other.pid, "start": process(other.pid).start, "boot": "b"}):  # type: ignore[union-attr]
        path.write_text(json.dumps({**record, "cgroup": None, **wrong}))
        await bench.driver()
        assert other.returncode is None
        assert process(other.pid).state != "Z"  # type: ignore[union-attr]
        assert bench.records() == []
    other.kill()
    await other.wait()


async def test_the_death_of_an_adopted_replica_is_told(bench: Bench, leave: Leave) -> None:
    await leave("ready", "family")
    await bench.driver()
    record = json.loads((bench.layout.replicas / "svc-1.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    event = await bench.event(Exited)
    assert getattr(event, "replica", "") == "svc-1"
    assert bench.processes() == set()


async def test_an_adopted_start_that_fails_is_told_as_a_failed_start(bench: Bench, leave: Leave) -> None:
    await leave("starting", "dies-later", "0")
    service = bench.service("dies-later", "0")
    driver = await bench.driver()
    with pytest.raises(StartError):
        await driver.ready(service, "svc-1")
    assert bench.events == []


async def test_ports_of_adopted_replicas_are_not_issued_again(bench: Bench, leave: Leave) -> None:
    await leave("paused")
    driver = await bench.driver()
    held = json.loads((bench.layout.replicas / "svc-1.json").read_text())["ports"]["main"]
    service = bench.service(name="other")
    issued = [await driver.start(service, f"other-{number}") for number in range(5)]
    assert f"127.0.0.1:{held}" not in [running.endpoints["main"] for running in issued]
