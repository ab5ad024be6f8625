"""The loop with a driver and a mesh in memory: every effect gets its outcome, whatever the verbs do."""

from __future__ import annotations

import asyncio

import pytest

from services.catalog.model import Service
from services.scaler.core.effects import Refuse, Release
from services.scaler.core.events import DemandKind, Flow, SleepAsked, Traffic
from services.scaler.drivers.base import Interrupted, PauseError, PrepareError, StartError
from services.scaler.mesh.base import Busy, HeldRequest
from tests.unit.control.hands import MemoryDriver
from tests.unit.control.rig import Rig


async def test_a_request_for_a_sleeping_service_is_released_to_where_it_listens(rig: Rig) -> None:
    await rig.awake()
    assert rig.mesh.released == {1: rig.web.replicas["web-1"].endpoints["main"]}


async def test_a_request_for_a_ready_service_is_released_before_demand_returns(rig: Rig) -> None:
    await rig.awake()
    rig.ask(2)
    assert 2 in rig.mesh.released


@pytest.mark.parametrize(
    ("verb", "fault", "told"),
    [
        ("prepare", PrepareError("no network"), "no network"),
        ("start", StartError("no such program"), "no such program"),
        ("ready", StartError("it died"), "it died"),
        ("prepare", RuntimeError("a bug"), "internal fault: RuntimeError: a bug"),
        ("start", OSError("a broken disk"), "internal fault: OSError: a broken disk"),
    ],
)
async def test_a_failing_start_refuses_with_its_reason(rig: Rig, verb: str, fault: Exception, told: str) -> None:
    rig.driver.faults[verb] = fault
    rig.ask(1)
    async with asyncio.timeout(5):
        await rig.control.settled(lambda: 1 in rig.mesh.refused)
    assert rig.mesh.refused[1].reason == told


async def test_a_rest_goes_all_the_way_to_the_freezer(rig: Rig) -> None:
    await rig.awake()
    rig.control.post(Traffic({"web": Flow(0, 1)}))
    rig.control.post(SleepAsked("web"))
    await rig.until("paused")
    assert rig.driver.running == {"web-1": "paused"}
    assert rig.mesh.published == {}


async def test_a_rest_that_the_mesh_does_not_vouch_for_is_taken_back(rig: Rig) -> None:
    await rig.awake()
    for fault in (Busy("a request is in flight"), RuntimeError("a bug")):
        rig.mesh.faults = {"drain": fault}
        rig.control.post(SleepAsked("web"))
        await rig.until("ready")
        rig.mesh.faults = {"withdraw": fault}
        rig.control.post(SleepAsked("web"))
        await rig.until("ready")
        assert list(rig.mesh.published) == ["web-1"]


async def test_what_cannot_be_frozen_is_stopped(rig: Rig) -> None:
    await rig.awake()
    rig.driver.faults["pause"] = PauseError("it dislikes it")
    rig.control.post(SleepAsked("web"))
    await rig.until("")
    assert rig.driver.running == {}


async def test_what_does_not_thaw_is_replaced_and_the_request_is_served(rig: Rig) -> None:
    await rig.awake()
    rig.control.post(SleepAsked("web"))
    await rig.until("paused")
    rig.driver.faults["resume"] = PauseError("it is dead")
    rig.ask(2)
    async with asyncio.timeout(5):
        await rig.control.settled(lambda: 2 in rig.mesh.released)
    assert list(rig.web.replicas) == ["web-2"]


async def test_a_request_that_meets_a_dead_replica_waits_for_the_repair(rig: Rig) -> None:
    await rig.awake()
    del rig.driver.running["web-1"]
    rig.ask(2)
    assert 2 not in rig.mesh.released
    async with asyncio.timeout(5):
        await rig.control.settled(lambda: 2 in rig.mesh.released)
    assert rig.mesh.released[2] == rig.web.replicas["web-2"].endpoints["main"]


async def test_a_start_that_somebody_else_ends_is_begun_again_for_the_same_request(rig: Rig) -> None:
    rig.driver.faults["ready"] = Interrupted("stopped from outside")
    rig.ask(1)
    await rig.until("starting")
    while rig.driver.calls.count("ready web-1") < 1:  # noqa: ASYNC110 — a driver in memory tells nobody
        await asyncio.sleep(0)
    del rig.driver.faults["ready"]
    async with asyncio.timeout(5):
        await rig.control.settled(lambda: 1 in rig.mesh.released)
    assert list(rig.web.replicas) == ["web-2"]


async def test_a_command_waits_for_the_wake_and_learns_how_it_ended(rig: Rig) -> None:
    assert isinstance(await rig.control.command_wake("web", 5.0), Release)
    rig.driver.faults["ready"] = StartError("it died")
    rig.control.post(SleepAsked("web", "stopped"))
    await rig.until("")
    ended = await rig.control.command_wake("web", 5.0)
    assert isinstance(ended, Refuse)
    assert ended.reason == "it died"


async def test_a_cancelled_command_leaves_the_wake_going_on(rig: Rig) -> None:
    command = asyncio.create_task(rig.control.command_wake("web", 5.0))
    await asyncio.sleep(0)
    command.cancel()
    await rig.until("ready")
    assert rig.control.fleet.world.demand_of == {}


async def test_a_hold_that_ends_while_nothing_else_happens_is_noticed(rig: Rig) -> None:
    class Never(MemoryDriver):
        async def ready(self, service: Service, replica: str) -> None:
            await asyncio.Event().wait()

    rig.control.connect(Never(), rig.mesh)
    rig.control.demand(HeldRequest(1, "web", "main", DemandKind.REQUEST, 0.05))
    async with asyncio.timeout(5):
        await rig.control.settled(lambda: 1 in rig.mesh.refused)
    assert rig.mesh.refused[1].refusal == "waiting"


async def test_a_stop_that_the_system_hinders_is_tried_again_until_it_is_done(rig: Rig) -> None:
    await rig.awake()
    rig.driver.faults["stop"] = OSError(24, "Too many open files")
    rig.control.post(SleepAsked("web", "stopped"))
    await rig.until("stopping")
    while rig.driver.calls.count("stop web-1") < 2:  # noqa: ASYNC110 — a driver in memory tells nobody
        await asyncio.sleep(0.01)
    assert rig.driver.running == {"web-1": "ready"}
    assert "web-1" in rig.web.replicas
    del rig.driver.faults["stop"]
    await rig.until("")
    assert rig.driver.running == {}
