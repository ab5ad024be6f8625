"""Request bodies: JSON → the adapter's values, or one problem that names field, value and remedy.

The pydantic models stand here and go no further. What a field has to be is its description: it is the remedy too.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api_adapter.vectors import Condition, Filter, Item, Op, Scalar, StoreName, Vector
from services.web_service.bodies import read, refused

MOST_ITEMS = 1000
MOST_HITS = 200
MOST_CONDITIONS = 64
"""Chroma ends with a stack overflow at some thousands of them."""
MOST_VALUES = 500
"""Of one `$in`."""
_IDS = uuid.UUID("d9a0a3f6-6d0e-4a8e-9d5c-6a1fdc7c0c39")

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$"
_A_NAME = "a name of 3 to 63 letters, digits, dots, dashes and underscores"
Name = Annotated[str, Field(pattern=_NAME, description=_A_NAME)]
Numbers = Annotated[
    list[Annotated[float, Field(allow_inf_nan=False)]],
    Field(min_length=1, max_length=65536, description="a list of 1 to 65536 finite numbers"),
]
Meta = Annotated[
    dict[str, Annotated[str, Field()] | bool | int | Annotated[float, Field(allow_inf_nan=False)]],
    Field(description="an object whose values are texts, numbers, true or false"),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    collection: Name
    store: Annotated[str | None, Field(description=f"one of {', '.join(StoreName)}, or left out")] = None
    model: Annotated[str | None, Field(min_length=1, description="the name of an embedding model, or left out")] = None


class _SearchBody(_Body):
    query: Annotated[str | None, Field(min_length=1, description="a text that is not empty")] = None
    vector: Numbers | None = None
    k: Annotated[int, Field(ge=1, le=MOST_HITS, description=f"a whole number from 1 to {MOST_HITS}")] = 5
    filter: Annotated[dict[str, Any] | None, Field(description='an object such as {"lang": "en"}')] = None


class _ItemBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str | None, Field(min_length=1, max_length=512, description="a text, or left out")] = None
    text: Annotated[str, Field(min_length=1, description="a text that is not empty")]
    vector: Numbers | None = None
    metadata: Meta = Field(default_factory=dict)


class _UpsertBody(_Body):
    items: Annotated[
        list[_ItemBody],
        Field(min_length=1, max_length=MOST_ITEMS, description=f"a list of 1 to {MOST_ITEMS} items"),
    ]


@dataclass(frozen=True, slots=True)
class Search:
    collection: str
    store: StoreName | None
    model: str | None
    query: str | None
    vector: Vector | None
    """Exactly one of the two is there."""
    k: int
    wanted: Filter


@dataclass(frozen=True, slots=True)
class Upsert:
    collection: str
    store: StoreName | None
    model: str | None
    items: tuple[Item, ...]


def search(body: bytes) -> Search:
    """Raises Refused."""
    asked = read(_SearchBody, body)
    if (asked.query is None) == (asked.vector is None):
        given = "neither" if asked.query is None else "both"
        raise refused("query", None, f"{given} of query and vector were given", "send either a query or its vector")
    return Search(
        asked.collection,
        store(asked.store),
        asked.model,
        asked.query,
        asked.vector,
        asked.k,
        _filter(asked.filter or {}),
    )


def upsert(body: bytes) -> Upsert:
    """Raises Refused. An item without an id gets one that its text gives it: sent twice, it is there once."""
    asked = read(_UpsertBody, body)
    items = tuple(
        Item(one.id or str(uuid.uuid5(_IDS, one.text)), one.text, one.vector, MappingProxyType(dict(one.metadata)))
        for one in asked.items
    )
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item.id in seen:
            raise refused(f"items.{index}.id", item.id, "two items have this id", "send each item once")
        seen.add(item.id)
    return Upsert(asked.collection, store(asked.store), asked.model, items)


def collection(name: str) -> str:
    """Of a path. Raises Refused: the databases' clients put it into paths of theirs as it is, where `..` is all there
    is."""
    if not re.fullmatch(_NAME, name):
        raise refused("collection", name, "that is no name of a collection", f"collection has to be {_A_NAME}")
    return name


def store(name: str | None, field: str = "store") -> StoreName | None:
    """Raises Refused."""
    if name is None:
        return None
    if name not in list(StoreName):
        raise refused(field, name, f"there is no store {name!r}", f"one of {', '.join(StoreName)}, or leave it out")
    return StoreName(name)


def _filter(document: Mapping[str, Any]) -> Filter:
    found = tuple(condition for key, wanted in document.items() for condition in _conditions(key, wanted))
    if len(found) > MOST_CONDITIONS:
        detail = f"{len(found)} conditions are more than {MOST_CONDITIONS}"
        raise refused("filter", None, detail, "ask for less at once")
    return found


def _conditions(key: str, wanted: object) -> list[Condition]:
    place = f"filter.{key}"
    if not key or key.startswith("$"):
        raise refused(place, key, "a filter names keys of the metadata", 'such as {"lang": "en"}')
    if not isinstance(wanted, Mapping):
        return [Condition(key, Op.EQ, _scalar(place, wanted))]
    if not wanted:
        raise refused(place, wanted, "no operator is given", f"use one of {', '.join(Op)}")
    return [_operated(key, f"{place}.{op}", op, value) for op, value in wanted.items()]


def _operated(key: str, place: str, op: str, value: object) -> Condition:
    if op not in list(Op):
        raise refused(place, op, f"there is no operator {op}", f"use one of {', '.join(Op)}")
    if op == Op.IN:
        if not isinstance(value, list) or not value:
            raise refused(place, value, "$in wants a list", "send the values that are allowed, at least one")
        if len(value) > MOST_VALUES:
            raise refused(place, None, f"{len(value)} values are more than {MOST_VALUES}", "ask for less at once")
        values = tuple(_scalar(place, one) for one in value)
        if len({type(one) for one in values}) > 1:
            raise refused(place, value, "the values of $in are of several kinds", "send values of one kind")
        return Condition(key, Op.IN, values)
    found = _scalar(place, value)
    if op in (Op.GT, Op.GTE, Op.LT, Op.LTE) and (isinstance(found, str | bool)):
        raise refused(place, value, f"{op} compares numbers", "send a number")
    return Condition(key, Op(op), found)


def _scalar(place: str, value: object) -> Scalar:
    good = isinstance(value, str | int | float) and not (isinstance(value, float) and not math.isfinite(value))
    if not good:
        raise refused(place, value, "a value to compare with is a text, a number, true or false", "send one of these")
    assert isinstance(value, str | int | float)
    return value
