"""The agent's arithmetic: what people write, and nothing that runs."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.langchain.arithmetic import calculated


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("6 * 7", "42"),
        ("(3 + 4) * 2 ** 5 / 7", "32"),
        ("2^10", "1024"),
        ("-5 // 2", "-3"),
        ("7 % 4 - +1", "2"),
        ("1 / 3", "0.3333333333333333"),
        ("sqrt(2) ** 2", "2.0000000000000004"),
        ("round(2 * pi)", "6"),
        ("abs(-3)", "3"),
        ("2 ** -1", "0.5"),
        ("(-8) ** 3", "-512"),
    ],
)
def test_arithmetic_is_worked_out(expression: str, result: str) -> None:
    assert calculated(expression) == result


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "no expression"),
        ("1 +", "no expression"),
        ("1 / 0", "division"),
        ("9 ** 9 ** 9", "exponent"),
        ("10 ** 60", "too large"),
        ("1e999", "finite"),
        ("(-8) ** 0.5", "no number"),
        ("__import__('os')", "not understood"),
        ("(1).__class__", "not understood"),
        ("[1] * 9", "not understood"),
        ("'a' * 9", "not understood"),
        ("True + 1", "not understood"),
        ("sqrt(1, 2)", "not understood"),
        ("x", "not understood"),
        ("sqrt(-1)", "math domain"),
        ("1" * 300, "at most 200"),
        ("(" * 150, "no expression"),
    ],
)
def test_anything_else_is_refused_with_its_reason(expression: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        calculated(expression)


@given(st.text(alphabet="0123456789.+-*/%()e ^pisqrt", max_size=60))
def test_whatever_is_written_ends_soon_and_with_a_number_or_a_reason(expression: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(ValueError):
        float(calculated(expression))
    assert time.monotonic() - began < 1
