"""Portions in which held requests of one replica go on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.scaler.mesh.slices import FIRST, Slices


def test_the_first_four_go_at_once_and_the_fifth_waits() -> None:
    slices = Slices()
    assert [slices.add(number) for number in range(6)] == [True] * FIRST + [False] * 2
    assert slices.next() == (4, 5)


def test_a_full_portion_may_go_at_once_again_after_a_quiet_interval() -> None:
    slices = Slices()
    for number in range(4):
        slices.add(number)
    assert not slices.at_rest
    assert slices.next() == ()
    assert slices.at_rest
    assert slices.add(9)


def test_two_hundred_are_out_within_a_quarter_second() -> None:
    slices = Slices()
    out = sum(slices.add(number) for number in range(200))
    portions = 0
    while len(slices):
        portions += 1
        out += len(slices.next())
    assert out == 200
    assert portions <= 50


@given(st.lists(st.one_of(st.just("next"), st.integers(0, 30), st.tuples(st.integers(0, 30)))))
def test_each_goes_once_in_order_and_never_more_than_a_portion_at_a_time(acts: list[object]) -> None:
    slices = Slices()
    added: list[int] = []
    gone: list[int] = []
    removed: set[int] = set()
    in_interval = 0
    fresh = 0
    for act in acts:
        if act == "next":
            portion = slices.next()
            gone.extend(portion)
            in_interval = len(portion)
        elif isinstance(act, int):
            fresh += 1
            added.append(fresh)
            if slices.add(fresh):
                gone.append(fresh)
                in_interval += 1
        elif isinstance(act, tuple) and added:
            number = added[act[0] % len(added)]
            if number not in gone:
                removed.add(number)
            slices.remove(number)
        assert in_interval <= 16
    while len(slices):
        gone.extend(slices.next())
    assert gone == [number for number in added if number not in removed]
