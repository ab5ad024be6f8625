from __future__ import annotations

import pytest

from services.cli import words


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0B"),
        (999, "999B"),
        (1 << 20, "1.0M"),
        (300 << 20, "300M"),
        (5 << 30, "5.0G"),
        (3 << 40, "3.0T"),
    ],
)
def test_a_size_in_words(count: int | None, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("text", "count"), [("512M", 512 << 20), ("8G", 8 << 30), ("1.5g", 3 << 29), ("100", 100), ("64 MiB", 64 << 20)]
)
def test_a_size_from_words(text: str, count: int) -> None:
    assert words.bytes_of(text) == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("8h", 28800), ("90", 90), ("1h30m", 5400), ("0.5s", 0.5), ("2d", 172800)]
)
def test_a_span_from_words(text: str, seconds: float) -> None:
    assert words.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "8 hours", "1h x", "-3m", "1e3"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        words.seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.04, "40 ms"), (7.2, "7 s"), (720, "12 min"), (28800, "8 h"), (864000, "10 d")]
)
def test_a_span_in_words(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


def test_a_table_is_as_wide_as_it_needs_and_cut_to_the_terminal() -> None:
    told = words.table(["A", "B"], [["one", "two"], ["longer", "x"]])
    assert told == "A       B\none     two\nlonger  x"
    assert words.table(["A"], [["a long line"]], 6) == "A\na lon…"
