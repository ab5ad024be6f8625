from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.units import cores, duration_text, seconds, share, size, size_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h5m30s20ms", 3930.02),
        ("5m", 300.0),
        (".5s", 0.5),
        ("1.5m", 90.0),
        ("1d", 86400.0),
        ("-5s", -5.0),
        ("+5s", 5.0),
        ("0", 0.0),
        ("5us", 5e-6),
    ],
)
def test_durations_are_read_as_compose_reads_them(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "value", ["", "5", "1h 5m", "1y", "s", "5M", "h5", "1h5", "1e3s", "９s", "9" * 50 + "s", 5, 5.0, None, True]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a duration"):
        seconds(value)


@given(st.integers(min_value=0, max_value=10**11))
def test_a_duration_reads_back_as_it_was_written(milliseconds: int) -> None:
    value = milliseconds / 1000
    assert seconds(duration_text(value)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2G", 2 * 2**30),
        ("512m", 512 * 2**20),
        ("1gb", 2**30),
        ("1 GiB", 2**30),
        ("1.5g", 3 * 2**29),
        ("10", 10),
        (10, 10),
        (1e3, 1000),
        ("1b", 1),
        ("1k", 1024),
        ("1T", 2**40),
    ],
)
def test_sizes_are_read_as_compose_reads_them(value: object, expected: int) -> None:
    assert size(value) == expected


@pytest.mark.parametrize("value", ["", "1x", "-1", "1ib", "g", "1 2", "1e3", "9" * 60, "9999P", None, True, [1]])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a size"):
        size(value)


@given(st.integers(min_value=0, max_value=2**59))
def test_a_size_reads_back_as_it_was_written(value: int) -> None:
    assert size(size_text(value)) == value


@pytest.mark.parametrize("value", [0, -1, "x", float("inf"), float("nan"), None, True, 10**6])
def test_what_is_no_number_of_cores_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a number of cores"):
        cores(value)


@pytest.mark.parametrize(("value", "expected"), [("10%", 0.1), ("0%", 0.0), (0.5, 0.5), ("0.25", 0.25), (1, 1.0)])
def test_shares_are_read(value: object, expected: float) -> None:
    assert share(value) == expected


@pytest.mark.parametrize("value", ["101%", -0.1, 2, "x%", "%", None, True, float("nan")])
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a share"):
        share(value)
