"""What a plain YAML scalar means to compose, and how compose writes a number back as text.

Compose reads YAML neither as 1.1 nor as 1.2: `on` and `yes` are texts, `017`, `0o17` and `0x1F` are numbers, `22:22`
is a text (no sexagesimals), `1_000` is a number, a date is a date. Owns exactly these rules, held to compose's own
answers by the differential tests; PyYAML's own resolvers would read a port `22:22` as 1342.
"""

from __future__ import annotations

import math
import re

from services.catalog.tree import Moment, Scalar

_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".nan": math.nan,
    ".NaN": math.nan,
    ".NAN": math.nan,
}
for _sign, _factor in (("", 1), ("+", 1), ("-", -1)):
    for _word in (".inf", ".Inf", ".INF"):
        _WORDS[_sign + _word] = _factor * math.inf

_NUMBER_START = frozenset("0123456789+-.")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_PREFIXED = re.compile(r"([-+]?)0([xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+|[0-7]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]*)?(?:Z|[-+][0-9]{2}:[0-9]{2}))"
    r"|(?: [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]*)?))?\Z"
)
_BASES = {"x": 16, "o": 8, "b": 2}
_LONGEST = 64
_PLAIN_FROM, _PLAIN_TO = -4, 6
"""Powers of ten that Go writes without an exponent."""
_INTEGERS = range(-(2**63), 2**64)


def plain(text: str) -> Scalar | Moment:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START or len(text) > _LONGEST:
        return text
    if _DATE.match(text):
        return Moment(text)
    number = _number(text.replace("_", "") if text[0] != "." else text)
    return text if number is None else number


def _number(text: str) -> int | float | None:
    if _DECIMAL.match(text):
        whole = int(text)
        return whole if whole in _INTEGERS else float(text)
    if match := _PREFIXED.match(text):
        sign, digits = match.groups()
        base = _BASES.get(digits[0].lower(), 8)
        whole = int(digits if base == 8 and digits[0] not in "oO" else digits[1:], base)
        whole = -whole if sign == "-" else whole
        if whole in _INTEGERS:
            return whole
    if _FLOAT.match(text):
        number = float(text)
        return number if math.isfinite(number) else None
    return None


def text_of(value: Scalar) -> str:
    """A scalar as compose writes it into an environment or a label: 1.50 → `1.5`, 1e3 → `1000`, true → `true`."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return _float_text(value)
        case _:
            return str(value)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    digits, _, power = f"{value!r}".partition("e")
    exponent = int(f"{value:.16e}".partition("e")[2])
    if _PLAIN_FROM <= exponent < _PLAIN_TO:
        return f"{value:.0f}" if value == int(value) else digits if not power else f"{value:.20f}".rstrip("0")
    # The shortest digits that read back to the same value, in Go's form of an exponent.
    sign, mantissa = ("-" if value < 0 else ""), digits.lstrip("-").replace(".", "").strip("0")
    head, tail = mantissa[0], mantissa[1:]
    return f"{sign}{head}{'.' + tail if tail else ''}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
