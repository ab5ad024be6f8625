"""kill -9 of the scaler at every step of a container's life, and what the next one makes of what it finds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from services.scaler.core.events import Exited
from tests.contract.drivers.bench import until
from tests.contract.drivers.docker_bench import DockerBench, docker

CONTAINERS = True
pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[3]
SCALER = ROOT / "tests" / "support" / "programs" / "fault_docker_scaler.py"


async def leave(yard: DockerBench, step: str) -> None:
    """Run a scaler up to a step and kill it there."""
    yard.service()
    scaler = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCALER),
        str(yard.layout.data),
        yard.project,
        str(yard.file),
        step,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert scaler.stdout is not None
    async with asyncio.timeout(30):
        while line := (await scaler.stdout.readline()).decode().strip():
            if line == step:
                scaler.send_signal(signal.SIGKILL)
                break
        assert await scaler.wait() == -signal.SIGKILL
    scaler._transport.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        ("started", "starting"),
        ("starting", "starting"),
        ("ready", "ready"),
        ("frozen", "paused"),
        ("paused", "paused"),
        ("thawed", "ready"),
        ("resumed", "ready"),
    ],
)
async def test_what_ran_is_taken_up_in_its_true_phase_and_not_begun_again(
    yard: DockerBench, step: str, phase: str
) -> None:
    await leave(yard, step)
    [name] = yard.processes()
    born = docker("inspect", name, "--format", "{{.State.StartedAt}}")
    service = yard.services["svc"]
    driver = yard.make()
    yard.drivers.append(driver)
    yard.configure(driver)
    [found] = await driver.adopt()
    assert (found.replica, found.service, found.phase, found.digest) == ("svc-1", "svc", phase, "one")
    assert found.endpoints["main"].endswith(":80")
    assert driver.alive("svc-1")
    if phase == "paused":
        await driver.resume(service, "svc-1")
    else:
        await driver.ready(service, "svc-1")
    await driver.pause(service, "svc-1")
    await driver.resume(service, "svc-1")
    assert docker("inspect", name, "--format", "{{.State.StartedAt}}") == born
    await driver.stop(service, "svc-1")
    assert yard.processes() == set()
    assert yard.records() == []
    assert yard.events == []


@pytest.mark.parametrize("step", ["recorded", "stopping", "ended"])
async def test_what_never_began_or_was_ending_is_gone_and_not_told(yard: DockerBench, step: str) -> None:
    await leave(yard, step)
    driver = await yard.driver()
    assert not driver.alive("svc-1")
    assert yard.records() == []
    assert yard.processes() == set()


async def test_what_somebody_started_while_no_scaler_lived_is_found_and_watched(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    await driver.prepare(service, lambda *_: None)
    await driver.close()
    [name] = yard.containers()
    docker("start", name)
    later = yard.make()
    yard.drivers.append(later)
    yard.configure(later)
    [found] = await later.adopt()
    assert (found.service, found.phase, found.digest) == ("svc", "starting", "one")
    await later.ready(service, found.replica)
    docker("kill", name)
    assert (await yard.event(Exited)).replica == found.replica


async def test_what_died_while_no_scaler_lived_is_forgotten(yard: DockerBench) -> None:
    await leave(yard, "ready")
    [name] = yard.processes()
    docker("kill", name)
    await until(lambda: yard.processes() == set())
    driver = await yard.driver()
    assert yard.records() == []
    assert not driver.alive("svc-1")
