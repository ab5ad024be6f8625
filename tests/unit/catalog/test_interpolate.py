from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.dotenv import DotenvFault, parse, parse_raw
from services.catalog.interpolate import InterpolationFault, substitute

NAMES = st.sampled_from(["A", "B_1", "_c", "MISSING"])
VARIABLES = {"A": "value", "B_1": "", "_c": "$A ${A}"}


@given(st.text())
def test_a_text_whose_dollars_are_doubled_comes_back(text: str) -> None:
    assert substitute(text.replace("$", "$$"), VARIABLES) == text


@given(st.text(alphabet="ab${}:-+?A _", max_size=40))
def test_any_text_is_filled_in_or_refused(text: str) -> None:
    with suppress(InterpolationFault):
        assert isinstance(substitute(text, VARIABLES), str)


@given(NAMES, st.text(alphabet=st.characters(exclude_characters="${}")))
def test_the_operators_agree_with_their_meaning(name: str, word: str) -> None:
    value = VARIABLES.get(name)
    assert substitute(f"${{{name}:-{word}}}", VARIABLES) == (value or word)
    assert substitute(f"${{{name}-{word}}}", VARIABLES) == (word if value is None else value)
    assert substitute(f"${{{name}:+{word}}}", VARIABLES) == (word if value else "")
    assert substitute(f"${{{name}+{word}}}", VARIABLES) == ("" if value is None else word)


def test_a_value_is_not_filled_in_again() -> None:
    assert substitute("$_c", VARIABLES) == "$A ${A}"


def test_variables_that_are_not_set_are_told() -> None:
    told: list[str] = []
    assert substitute("$NO ${ALSO_NO} ${NO:-d} $A", VARIABLES, told.append) == "  d value"
    assert told == ["NO", "ALSO_NO"]


@pytest.mark.parametrize("text", ["${A", "${}", "${A:x}", "${A.b}", "${A:?}${B_1:?}", "${MISSING?}"])
def test_what_compose_refuses_is_refused(text: str) -> None:
    with pytest.raises(InterpolationFault):
        substitute(text, VARIABLES)


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True), st.text(alphabet="abc $'#=:-")))
def test_single_quoted_values_come_back(variables: dict[str, str]) -> None:
    text = "".join(f"{key}='{value.replace(chr(39), chr(92) + chr(39))}'\n" for key, value in variables.items())
    assert parse(text, {}) == variables


@given(st.text(max_size=60))
def test_any_env_file_is_read_or_refused(text: str) -> None:
    with suppress(DotenvFault):
        assert isinstance(parse(text, VARIABLES), dict)
    with suppress(DotenvFault):
        assert isinstance(parse_raw(text), dict)


@pytest.mark.parametrize(
    ("text", "line"), [("A=1\n\nB C=2\n", 3), ("A=1\nB='x\n\n", 2), ("# c\n$A=1\n", 2), ("A=1\nB=${C\n", 2)]
)
def test_a_fault_of_an_env_file_names_its_line(text: str, line: int) -> None:
    with pytest.raises(DotenvFault) as caught:
        parse(text, {})
    assert caught.value.line == line
