"""A restart that somebody waits for: told as it ended, whatever came in between."""

from __future__ import annotations

import asyncio

import pytest

from services.scaler.admin.restart import Ended, How, restart
from services.scaler.core.events import Flow, Traffic
from services.scaler.drivers.base import StartError
from services.scaler.mesh.base import Busy
from tests.unit.control.rig import Rig

LONG = 5.0


async def quiet(rig: Rig) -> None:
    await rig.awake()
    rig.control.post(Traffic({"web": Flow(0, 1)}))


async def test_it_is_over_when_another_replica_serves(rig: Rig) -> None:
    await quiet(rig)
    [before] = rig.web.replicas
    assert await restart(rig.control, "web", LONG) == Ended(How.UP)
    [after] = rig.web.replicas
    assert after != before


async def test_one_that_sleeps_just_wakes(rig: Rig) -> None:
    assert await restart(rig.control, "web", LONG) == Ended(How.UP)


async def test_one_that_does_not_come_up_again_is_told_with_the_reason(rig: Rig) -> None:
    await quiet(rig)
    rig.driver.faults["start"] = StartError("exited with code 3")
    ended = await restart(rig.control, "web", LONG)
    assert ended.how is How.FAILED
    assert "exited with code 3" in ended.reason


async def test_one_that_stays_as_it_is_because_of_a_request_is_told_so(rig: Rig) -> None:
    await quiet(rig)
    rig.mesh.faults["drain"] = Busy("1 request in flight")
    ended = await restart(rig.control, "web", LONG)
    assert ended.how is How.STAYED
    assert "meanwhile" in ended.reason


@pytest.mark.parametrize("wait", [0.0, 0.05])
async def test_who_does_not_wait_long_enough_is_told_that_it_goes_on(rig: Rig, wait: float) -> None:
    await quiet(rig)
    with rig.control.doors.closed("web"):
        assert (await restart(rig.control, "web", wait)).how is How.WAITING
    async with asyncio.timeout(LONG):
        await rig.until("ready")
