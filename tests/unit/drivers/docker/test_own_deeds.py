"""Which events of a container come of what the driver did itself, by the replica's own account."""

from __future__ import annotations

import asyncio

import pytest

from services.scaler.drivers.docker import replica as module
from services.scaler.drivers.docker.book import What
from services.scaler.drivers.docker.records import Phase, Record
from services.scaler.drivers.docker.replica import Replica


def made() -> Replica:
    return Replica(Record("svc-1", "svc", "one", Phase.READY, "c0ffee", "svc", lazy=True))


async def acted(container: str) -> bool:
    return True


async def was_so(container: str) -> bool:
    return False


async def breaks(container: str) -> bool:
    raise OSError("no engine")


async def test_each_deed_counts_for_one_event_of_its_kind() -> None:
    live = made()
    await live.ours(What.PAUSED, acted)
    assert not live.counts_off(What.UNPAUSED)
    assert live.counts_off(What.PAUSED)
    assert not live.counts_off(What.PAUSED)


async def test_an_event_may_come_before_the_answer() -> None:
    live = made()
    seen = []

    async def slowly(container: str) -> bool:
        seen.append(live.counts_off(What.PAUSED))
        return True

    await live.ours(What.PAUSED, slowly)
    assert seen == [True]
    assert not live.counts_off(What.PAUSED)


@pytest.mark.parametrize("verb", [was_so, breaks])
async def test_what_changed_nothing_has_no_event_to_come(verb: object) -> None:
    live = made()
    try:
        await live.ours(What.PAUSED, verb)  # type: ignore[arg-type]
    except OSError:
        assert verb is breaks
    assert not live.counts_off(What.PAUSED)


async def test_a_deed_whose_event_never_comes_hides_nothing_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOLD_WITHIN", 0.0)
    live = made()
    await live.ours(What.PAUSED, acted)
    assert not live.counts_off(What.PAUSED)


async def test_events_that_were_lost_are_waited_for_only_of_deeds_under_way() -> None:
    live = made()
    await live.ours(What.PAUSED, acted)
    answer = asyncio.Event()

    async def slowly(container: str) -> bool:
        return await answer.wait()

    thawing = asyncio.create_task(live.ours(What.UNPAUSED, slowly))
    await asyncio.sleep(0)
    live.lose_events()
    assert not live.counts_off(What.PAUSED)
    assert live.counts_off(What.UNPAUSED)
    answer.set()
    await thawing


async def test_only_what_came_about_lately_can_be_told_once_more_behind_a_verb_of_ours() -> None:
    live = made()
    live.saw(What.PAUSED)
    assert not live.may_be_echo(What.PAUSED), "nothing of ours was done: it is somebody's second freeze"
    await live.ours(What.UNPAUSED, acted)
    assert live.may_be_echo(What.PAUSED)
    assert live.may_be_echo(What.UNPAUSED)


async def test_a_freeze_just_after_a_thaw_of_ours_is_no_echo_where_it_had_rested_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = made()
    await live.ours(What.PAUSED, acted)
    monkeypatch.setattr(module, "_ECHO", 0.02)
    await asyncio.sleep(0.03)
    await live.ours(What.UNPAUSED, acted)
    assert not live.may_be_echo(What.PAUSED)
    assert live.may_be_echo(What.UNPAUSED)
