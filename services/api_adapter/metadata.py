"""Metadata of items and filters on it: JSON → values that every store keeps, or one problem that names its place. Pure.

What one store takes and another refuses is refused for all, so that a collection may be moved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from services.api_adapter.vectors import Condition, Filter, Op, Scalar
from services.web_service.bodies import refused

MOST_CONDITIONS = 64
"""Chroma ends with a stack overflow at some thousands of them."""
MOST_VALUES = 500
"""Of one `$in`."""
MOST_ALTOGETHER = 8000
"""Chroma's database has 32766 variables for a statement, and a number takes two."""
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_RESERVED = "chroma:document"
_A_VALUE = "send a text, a finite number (a whole one within 64 bits), true or false"
_A_KEY = f"name it otherwise: a key is not empty, begins with neither $ nor #, and is not {_RESERVED}"


def metadata(place: str, document: Mapping[str, object]) -> Mapping[str, Scalar]:
    """Raises Refused."""
    for key in document:
        _check_key(place, key)
    return MappingProxyType({key: _scalar(f"{place}.{key}", value) for key, value in document.items()})


def wanted(document: Mapping[str, Any]) -> Filter:
    """Of the field `filter`. Raises Refused."""
    found = tuple(condition for key, asked in document.items() for condition in _conditions(key, asked))
    if len(found) > MOST_CONDITIONS:
        detail = f"{len(found)} conditions are more than {MOST_CONDITIONS}"
        raise refused("filter", None, detail, f"ask for at most {MOST_CONDITIONS} at once")
    values = sum(len(one.value) if isinstance(one.value, tuple) else 1 for one in found)
    if values > MOST_ALTOGETHER:
        detail = f"{values} values to compare with are more than {MOST_ALTOGETHER}"
        raise refused("filter", None, detail, f"ask for at most {MOST_ALTOGETHER} at once")
    return found


def _conditions(key: str, asked: object) -> list[Condition]:
    _check_key("filter", key)
    place = f"filter.{key}"
    if '"' in key:
        raise refused(place, key, 'a key with " in it cannot be asked for', "keep it under another key as well")
    if not isinstance(asked, Mapping):
        return [Condition(key, Op.EQ, _scalar(place, asked))]
    if not asked:
        raise refused(place, asked, "no operator is given", f"use one of {', '.join(Op)}")
    return [_operated(key, f"{place}.{op}", op, value) for op, value in asked.items()]


def _operated(key: str, place: str, op: str, value: object) -> Condition:
    if op not in list(Op):
        raise refused(place, op, f"there is no operator {op}", f"use one of {', '.join(Op)}")
    if op == Op.IN:
        if not isinstance(value, list) or not value:
            raise refused(place, value, "$in wants a list", "send the values that are allowed, at least one")
        if len(value) > MOST_VALUES:
            detail = f"{len(value)} values are more than {MOST_VALUES}"
            raise refused(place, None, detail, f"ask for at most {MOST_VALUES} at once")
        values = tuple(_scalar(f"{place}.{index}", one) for index, one in enumerate(value))
        if len({type(one) for one in values}) > 1:
            raise refused(place, value, "the values of $in are of several kinds", "send values of one kind")
        return Condition(key, Op.IN, values)
    found = _scalar(place, value)
    if op in (Op.GT, Op.GTE, Op.LT, Op.LTE) and (isinstance(found, str | bool)):
        raise refused(place, value, f"{op} compares numbers", "send a number")
    return Condition(key, Op(op), found)


def _check_key(place: str, key: str) -> None:
    if not key or key[0] in "$#" or key == _RESERVED:
        remedy = f'such as {{"lang": "en"}}; {_A_KEY}' if place == "filter" else _A_KEY
        raise refused(f"{place}.{key}", key, f"{key!r} can be no key of the metadata", remedy)
    if not _is_unicode(key):
        raise refused(f"{place}.{key}", key, "half a surrogate pair is no text", "send whole characters")


def _scalar(place: str, value: object) -> Scalar:
    match value:
        case bool():
            return value
        case int() if not _LEAST <= value <= _MOST:
            raise refused(place, value, f"a whole number has to lie between {_LEAST} and {_MOST}", _A_VALUE)
        case float() if not math.isfinite(value):
            raise refused(place, value, "a number has to be finite", _A_VALUE)
        case str() if not _is_unicode(value):
            raise refused(place, value, "half a surrogate pair is no text", "send whole characters")
        case str() | int() | float():
            return value
    raise refused(place, value, "a value is a text, a number, true or false", _A_VALUE)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
