"""Held checks: each ends exactly once, whatever comes first."""

from __future__ import annotations

import asyncio

import pytest

from services.scaler.core.effects import Refusal, Refuse
from services.scaler.core.events import DemandKind
from services.scaler.mesh import held
from services.scaler.mesh.base import HeldRequest, ServiceView
from services.scaler.mesh.held import Crowded, HeldChecks, Outcome, Released
from services.scaler.mesh.names import Target

TARGET = Target("chat", "main")


class Above:
    """Writes down what it is asked and told."""

    def __init__(self) -> None:
        self.asked: list[HeldRequest] = []
        self.gone: list[int] = []

    def demand(self, request: HeldRequest) -> None:
        self.asked.append(request)

    def left(self, request_id: int) -> None:
        self.gone.append(request_id)

    def view(self, service: str) -> ServiceView | None:
        return None

    def views(self) -> dict[str, ServiceView]:
        return {}


def hold(checks: HeldChecks, count: int = 1) -> list[asyncio.Task[Outcome]]:
    return [asyncio.ensure_future(checks.hold(TARGET, DemandKind.REQUEST, 9.0)) for _ in range(count)]


async def test_released_refused_or_left_and_never_two_of_them() -> None:
    above = Above()
    checks = HeldChecks(above)
    one, two, three = hold(checks, 3)
    await asyncio.sleep(0)
    refusal = Refuse(above.asked[1].id, Refusal.FAILED, "r", 1.0)
    checks.release(above.asked[0].id, "chat-1", "127.0.0.1:1")
    checks.refuse(refusal)
    three.cancel()
    assert await one == Released("127.0.0.1:1")
    assert await two == refusal
    with pytest.raises(asyncio.CancelledError):
        await three
    assert above.gone == [above.asked[2].id]
    for request in above.asked:  # too late, and ignored
        checks.release(request.id, "chat-1", "127.0.0.1:1")
        checks.refuse(Refuse(request.id, Refusal.FAILED, "r", 1.0))
    checks.close()


async def test_an_answer_before_the_question_is_over_counts() -> None:
    class AtOnce(Above):
        def demand(self, request: HeldRequest) -> None:
            super().demand(request)
            checks.release(request.id, "chat-1", "127.0.0.1:1")

    above = AtOnce()
    checks = HeldChecks(above)
    assert await hold(checks)[0] == Released("127.0.0.1:1")
    assert above.gone == []
    checks.close()


async def test_slices_go_out_by_themselves_and_in_order() -> None:
    above = Above()
    checks = HeldChecks(above)
    tasks = hold(checks, 30)
    await asyncio.sleep(0)
    for request in above.asked:
        checks.release(request.id, "chat-1", "127.0.0.1:1")
    assert checks.waiting_for("chat-1") == 26
    assert len(checks.held()["chat"]) == 26
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True] * 4 + [False] * 26
    await asyncio.gather(*tasks)
    assert checks.released_to("chat-1")[0] == 30
    assert checks.waiting_for("chat-1") == 0
    checks.close()


async def test_what_waits_for_a_replica_that_goes_away_is_demanded_again() -> None:
    above = Above()
    checks = HeldChecks(above)
    tasks = hold(checks, 6)
    await asyncio.sleep(0)
    for request in list(above.asked):
        checks.release(request.id, "chat-1", "127.0.0.1:1")
    checks.forget("chat-1")
    await asyncio.gather(*tasks[:4])
    again = above.asked[6:]
    assert len(again) == 2
    for request in again:
        checks.release(request.id, "chat-2", "127.0.0.1:2")
    assert await tasks[4] == await tasks[5] == Released("127.0.0.1:2")
    assert above.gone == []
    checks.close()


async def test_a_client_that_leaves_while_its_slice_waits_frees_its_place() -> None:
    above = Above()
    checks = HeldChecks(above)
    tasks = hold(checks, 6)
    await asyncio.sleep(0)
    for request in above.asked:
        checks.release(request.id, "chat-1", "127.0.0.1:1")
    tasks[4].cancel()
    await asyncio.gather(*tasks[:4], tasks[5])
    assert checks.released_to("chat-1")[0] == 5
    assert above.gone == [], "its demand was over already"
    checks.close()


async def test_beyond_the_most_nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MOST_HELD", 2)
    above = Above()
    checks = HeldChecks(above)
    tasks = hold(checks, 2)
    await asyncio.sleep(0)
    with pytest.raises(Crowded):
        await checks.hold(TARGET, DemandKind.REQUEST, 9.0)
    assert len(above.asked) == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_client_that_leaves_in_the_moment_its_replica_goes_disturbs_nobody() -> None:
    above = Above()
    checks = HeldChecks(above)
    tasks = hold(checks, 6)
    await asyncio.sleep(0)
    for request in list(above.asked):
        checks.release(request.id, "chat-1", "127.0.0.1:1")
    tasks[4].cancel()
    checks.forget("chat-1")  # before the cancelled one has had its turn
    await asyncio.gather(*tasks[:4])
    checks.release(above.asked[6].id, "chat-2", "127.0.0.1:2")
    assert await tasks[5] == Released("127.0.0.1:2")
    assert len(above.asked) == 7
    checks.close()
