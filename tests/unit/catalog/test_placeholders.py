import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.placeholders import Form, Placeholders, expand, forms

VALUES = Placeholders(
    ports={"main": 21000, "grpc": 21001},
    data="/d",
    models="/m",
    public_url="http://x.localhost:8000",
    urls={"ollama": "http://127.0.0.1:11434"},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--port={port}", "--port=21000"),
        ("{port:grpc}{port:main}", "2100121000"),
        ("{data}/x:{models}", "/d/x:/m"),
        ("{public_url}/oauth", "http://x.localhost:8000/oauth"),
        ("{url:ollama}/v1", "http://127.0.0.1:11434/v1"),
        ("{{port}} {port}", "{port} 21000"),
        ('{"port": {port}}', '{"port": 21000}'),
        ("{other} {} {0} ${HOME}", "{other} {} {0} ${HOME}"),
    ],
)
def test_known_forms_are_filled_in_and_all_else_stays(text: str, expected: str) -> None:
    assert expand(text, VALUES) == expected


@pytest.mark.parametrize("text", ["{port:admin}", "{url:nobody}"])
def test_a_name_that_nobody_has_is_a_lookup_error_that_says_it(text: str) -> None:
    with pytest.raises(LookupError, match=text[1:-1]):
        expand(text, VALUES)


def test_values_are_not_expanded_again() -> None:
    values = Placeholders(ports={"main": 1}, data="{port}", models="", public_url="")
    assert expand("{data}", values) == "{port}"


def test_the_forms_of_a_text_are_told_in_order_without_the_doubled_ones() -> None:
    assert list(forms("{port} {{data}} {url:a-b} {port:x}")) == [
        Form("port", "main"),
        Form("url", "a-b"),
        Form("port", "x"),
    ]


@given(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)))
def test_json_without_our_words_passes_through(value: object) -> None:
    text = json.dumps(value)
    if not any(word in text for word in ("port", "data", "models", "public_url", "url:")):
        assert expand(text, VALUES) == text
