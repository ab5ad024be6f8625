"""Who may start next: the cap, the budget, room made of what is idle, and a queue in which nobody starves."""

from __future__ import annotations

from services.catalog.model import Resources
from services.scaler.core import needing
from services.scaler.core.admission import queue_position
from services.scaler.core.effects import Drain, Prepare, Refuse, Release, Start, Stop, Withdraw
from services.scaler.core.events import (
    BudgetSet,
    DemandKind,
    DrainRefused,
    Measured,
    PinSet,
    Started,
    StartFailed,
)
from services.scaler.core.state import MEBIBYTE, Life, Settings
from tests.unit.core.scene import Scene, entry

UNIT = 512 * MEBIBYTE


def size(units: float) -> Resources:
    return Resources(memory_reservation=int(units * UNIT))


def busy(scene: Scene, *names: str) -> None:
    """These have requests in flight, by a fresh reading."""
    scene.now += 0.001
    scene.traffic(**dict.fromkeys(names, 1))


def prepared(scene: Scene, *names: str) -> None:
    for name in names:
        prepare = scene.awaited.get(name)
        if isinstance(prepare, Prepare):
            scene.answer(prepare)


def test_cold_starts_under_way_are_capped_and_the_next_starts_when_one_is_ready() -> None:
    names = [f"s{n}" for n in range(50)]
    scene = Scene(*(entry(name) for name in names))
    for name in names:
        scene.demand(name)
    prepared(scene, *names)
    assert [k for k, one in scene.awaited.items() if isinstance(one, Start)] == ["s0-1", "s1-1"]
    assert queue_position(scene.fleet.world, "s2") == 1
    assert queue_position(scene.fleet.world, "s49") == 48
    released = 0
    while scene.awaited:
        scene.answer(next(iter(scene.awaited.values())))
        released += len(scene.all(Release))
        assert sum(isinstance(one, Start) for one in scene.awaited.values()) <= 2
    assert released == 50


def test_a_start_that_fails_gives_its_place_to_the_next() -> None:
    scene = Scene(*(entry(name) for name in "abc"))
    for name in "abc":
        scene.demand(name)
    prepared(scene, "a", "b", "c")
    start = scene.awaited.pop("a-1")
    assert isinstance(start, Start)
    scene.on(StartFailed("a-1", start.attempt, "no"))
    assert scene.one(Start).service == "c"


def test_a_start_is_charged_before_it_is_issued() -> None:
    scene = Scene(entry("a"), entry("b"), room=1)
    scene.demand("a")
    scene.demand("b")
    prepared(scene, "a", "b")
    assert [one.service for one in scene.awaited.values() if isinstance(one, Start)] == ["a"]
    assert scene.fleet.world.charged() == UNIT


def test_room_is_made_of_the_longest_idle_first() -> None:
    scene = Scene(*(entry(name) for name in ("old", "older", "new", "a")), room=3)
    for name in ("older", "old", "new"):
        scene.up(name)
        scene.wait(1)
    scene.wait(1)
    scene.traffic(older=0, old=0, new=0)
    scene.demand("a")
    prepared(scene, "a")
    assert [one.service for one in scene.all(Drain)] == ["older"]
    scene.succeed(only="older")
    assert scene.one(Start).service == "a"
    assert scene.said("stop")[-1] == "makes room for a"


def test_a_paused_service_yields_without_a_drain() -> None:
    scene = Scene(entry("idle"), entry("a"), room=1)
    scene.paused("idle")
    scene.demand("a")
    prepared(scene, "a")
    assert scene.one(Stop).service == "idle"


def test_a_rest_under_way_ends_in_a_stop_when_its_room_is_wanted() -> None:
    scene = Scene(entry("idle"), entry("a"), room=1)
    scene.up("idle")
    scene.rest("idle")
    drain = scene.one(Drain)
    scene.demand("a")
    prepared(scene, "a")
    scene.answer(drain)
    scene.answer(scene.one(Withdraw))
    assert scene.one(Stop).service == "idle"


def test_no_more_is_put_to_sleep_than_the_room_that_is_missing() -> None:
    scene = Scene(*(entry(name) for name in "abcd"), entry("big", resources=size(2)), room=4)
    scene.up("a", "b", "c", "d")
    scene.wait(2)
    scene.traffic(a=0, b=0, c=0, d=0)
    scene.demand("big")
    prepared(scene, "big")
    assert [one.service for one in scene.all(Drain)] == ["a", "b"]
    for _ in range(5):
        scene.wait(0.1)
        scene.traffic(c=0, d=0)
        assert scene.none(Drain), "the room is on its way already"


def test_what_is_in_use_is_never_touched_and_the_refusal_says_why() -> None:
    scene = Scene(entry("busy"), entry("pinned"), entry("always", lazy=False), entry("a"), room=3)
    scene.succeed()
    scene.up("busy", "pinned")
    scene.on(PinSet("pinned", None))
    scene.wait(10)
    busy(scene, "busy")
    demand = scene.demand("a", hold=5)
    prepared(scene, "a")
    scene.wait(5)
    assert scene.refused() == {demand: "no-room"}
    reasons = [one.reason for one in scene.all(Refuse)]
    assert reasons == ["a needs 512 MiB, and 1.5 GiB of 1.5 GiB are in use by services that are busy"]


def test_nothing_that_was_used_a_moment_ago_makes_room() -> None:
    scene = Scene(entry("hot"), entry("a"), room=1)
    scene.up("hot")
    scene.demand("hot")
    scene.now += 0.5
    scene.traffic(hot=0)
    scene.demand("a")
    prepared(scene, "a")
    assert scene.none(Drain)
    scene.now += 0.6
    scene.traffic(hot=0)
    scene.one(Drain)


def test_without_a_reading_nothing_makes_room() -> None:
    scene = Scene(entry("idle"), entry("a"), room=1)
    scene.up("idle")
    scene.wait(60)
    scene.demand("a")
    prepared(scene, "a")
    assert scene.none(Drain)


def test_a_drain_that_is_refused_makes_room_of_another() -> None:
    scene = Scene(entry("one"), entry("two"), entry("a"), room=2)
    scene.up("one", "two")
    scene.wait(2)
    scene.traffic(one=0, two=0)
    scene.demand("a")
    prepared(scene, "a")
    drain = scene.one(Drain, "one")
    scene.on(DrainRefused("one-1", drain.attempt, "1 request in flight"))
    scene.one(Drain, "two")


def test_what_a_starting_service_needs_does_not_make_room_for_it() -> None:
    scene = Scene(entry("db"), entry("app", needs=["db"]), room=1)
    scene.up("db")
    scene.demand("app")
    prepared(scene, "app")
    scene.rest("db", after=10)
    assert scene.life("db") == [Life.READY]


def test_a_service_larger_than_the_whole_budget_is_refused_at_once() -> None:
    scene = Scene(entry("giant", resources=size(8)), room=4)
    demand = scene.demand("giant")
    prepared(scene, "giant")
    assert scene.refused() == {demand: "no-room"}
    assert scene.said("failed") == ["giant needs 4.0 GiB, the whole budget is 2.0 GiB (next try in 1 s)"]


def test_the_measured_size_with_headroom_is_charged_from_the_second_start_on() -> None:
    scene = Scene(entry("a", scaling={"stop_after": 0.0}))
    scene.up("a")
    scene.on(Measured("a-1", 100 * MEBIBYTE, 0.0))
    scene.rest("a")
    scene.succeed()
    scene.demand("a")
    assert scene.replica("a").charge == int(100 * MEBIBYTE * 1.1)


def test_the_reserved_room_shrinks_to_the_measured_size_only_after_a_while() -> None:
    scene = Scene(entry("a"))
    scene.up("a")
    scene.on(Measured("a-1", 10 * MEBIBYTE, 0.0))
    assert scene.replica("a").charge == UNIT
    scene.wait(Settings().settle_time)
    scene.on(Measured("a-1", 10 * MEBIBYTE, 0.0))
    assert scene.replica("a").charge == 11 * MEBIBYTE


def test_growth_beyond_the_budget_puts_an_idle_service_to_sleep() -> None:
    scene = Scene(entry("idle"), entry("grows"), room=2)
    scene.up("idle", "grows")
    scene.wait(2)
    scene.now += 0.1
    scene.traffic(idle=0, grows=1)
    scene.on(Measured("grows-1", 2 * UNIT, 0.0))
    assert scene.one(Drain).service == "idle"
    assert scene.said("stop") == ["the memory budget is exceeded"]


def test_a_smaller_budget_puts_idle_services_to_sleep() -> None:
    scene = Scene(entry("a"), entry("b"), room=2)
    scene.up("a", "b")
    scene.wait(2)
    scene.traffic(a=0, b=0)
    scene.on(BudgetSet({"memory": UNIT}))
    assert [one.service for one in scene.all(Drain)] == ["a"]


def test_a_larger_budget_lets_the_queue_go_on() -> None:
    scene = Scene(entry("busy"), entry("a"), room=1)
    scene.up("busy")
    busy(scene, "busy")
    scene.demand("a")
    prepared(scene, "a")
    assert scene.none(Start)
    scene.on(BudgetSet({"memory": 2 * UNIT}))
    scene.one(Start)


def test_others_may_pass_a_service_without_room_for_a_while_then_nobody_does_then_they_may_again() -> None:
    scene = Scene(
        entry("busy", resources=size(2)), entry("big", resources=size(2)), *(entry(f"s{n}") for n in range(4)), room=3
    )
    scene.up("busy")
    busy(scene, "busy")
    scene.demand("big")
    prepared(scene, "big")
    scene.demand("s0")
    prepared(scene, "s0")
    assert scene.one(Start).service == "s0"
    scene.awaited.pop("s0-1")
    scene.on(StartFailed("s0-1", scene.one(Start).attempt, "so that it is gone"))
    scene.wait(31)
    busy(scene, "busy")
    scene.demand("s1")
    prepared(scene, "s1")
    assert scene.none(Start), "room for big gathers"
    scene.wait(60)
    assert [one.service for one in scene.all(Start)] == ["s1"], "big had its turn"


def test_what_can_never_have_its_room_holds_nobody_up() -> None:
    scene = Scene(
        entry("always", lazy=False, resources=size(2)), entry("big", resources=size(2)), entry("small"), room=3
    )
    scene.succeed()
    scene.demand("big", hold=500)
    prepared(scene, "big")
    scene.wait(31)
    scene.demand("small")
    prepared(scene, "small")
    assert scene.one(Start).service == "small"


def test_a_pinned_service_without_room_holds_nobody_up() -> None:
    scene = Scene(entry("busy"), entry("pinned", resources=size(2)), entry("small"), room=2)
    scene.up("busy")
    busy(scene, "busy")
    scene.on(PinSet("pinned", None))
    prepared(scene, "pinned")
    scene.wait(needing.PATIENCE + 10)
    busy(scene, "busy")
    scene.demand("small")
    prepared(scene, "small")
    assert scene.one(Start).service == "small"


def test_what_a_service_in_use_asks_for_goes_first() -> None:
    scene = Scene(entry("db"), entry("app", uses=("db",)), entry("x"), entry("y"), settings=Settings(start_cap=1))
    scene.demand("app")
    prepared(scene, "app")
    scene.demand("x")
    prepared(scene, "x")
    prepared(scene, "db")
    start = scene.awaited["app-1"]
    assert isinstance(start, Start)
    scene.answer(start)
    assert scene.awaited["db-1"]
    assert "x-1" not in scene.awaited


def test_a_queued_service_nobody_waits_for_keeps_its_place_for_a_while_then_gives_up() -> None:
    scene = Scene(entry("busy"), entry("a"), room=1)
    scene.up("busy")
    busy(scene, "busy")
    demand = scene.demand("a")
    prepared(scene, "a")
    scene.leave(demand)
    scene.wait(needing.PATIENCE - 1)
    assert queue_position(scene.fleet.world, "a") == 1
    scene.wait(1)
    assert queue_position(scene.fleet.world, "a") is None
    assert scene.said("give up") == ["nobody waits for it any more"]
    assert not scene.service("a").waking


def test_a_command_that_finds_no_room_does_not_stay_in_the_queue_for_ever() -> None:
    scene = Scene(entry("busy"), entry("a"), room=1)
    scene.up("busy")
    busy(scene, "busy")
    scene.demand("a", hold=5, kind=DemandKind.COMMAND)
    prepared(scene, "a")
    scene.wait(needing.PATIENCE + 6)
    assert scene.fleet.world.queue == {}
    assert not scene.service("a").forced


def test_everybody_behind_the_head_who_lost_interest_leaves_the_queue_too() -> None:
    scene = Scene(entry("busy"), entry("head"), entry("a"), entry("b"), room=1)
    scene.up("busy")
    busy(scene, "busy")
    scene.demand("head", hold=200)
    for name in "ab":
        scene.leave(scene.demand(name))
    prepared(scene, "head", "a", "b")
    scene.wait(50)
    assert list(scene.fleet.world.queue) == ["head"]


def test_a_start_cap_of_one_counts_what_is_watched_too() -> None:
    scene = Scene(entry("a"), entry("b"), settings=Settings(start_cap=1))
    scene.demand("a")
    prepared(scene, "a")
    scene.on(Started("a-1", scene.one(Start).attempt, {"main": "127.0.0.1:20001"}))
    scene.demand("b")
    prepared(scene, "b")
    assert scene.none(Start)
