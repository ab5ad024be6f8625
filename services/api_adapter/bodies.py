"""Request bodies: JSON → the adapter's values, or one problem that names field, value and remedy.

The pydantic models stand here and go no further. What a field has to be is its description: it is the remedy too.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api_adapter.metadata import metadata, wanted
from services.api_adapter.vectors import Filter, Item, StoreName, Vector
from services.web_service.bodies import read, refused

MOST_ITEMS = 1000
MOST_HITS = 200
_IDS = uuid.UUID("d9a0a3f6-6d0e-4a8e-9d5c-6a1fdc7c0c39")

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]"
_A_NAME = (
    "a name of 3 to 63 letters, digits, dots, dashes and underscores, without two dots in a row, and no IPv4 address"
)
_FURTHEST = 3.4028234663852886e38
"""The stores keep numbers of 32 bits: what is larger is infinite there."""
Numbers = Annotated[
    list[Annotated[float, Field(allow_inf_nan=False, ge=-_FURTHEST, le=_FURTHEST)]],
    Field(min_length=1, max_length=65536, description="a list of 1 to 65536 finite numbers of 32 bits"),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    collection: Annotated[str, Field(description=_A_NAME)]
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
    metadata: Annotated[dict[str, Any], Field(description="an object")] = Field(default_factory=dict)


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
        collection(asked.collection),
        store(asked.store),
        asked.model,
        asked.query,
        asked.vector,
        asked.k,
        wanted(asked.filter or {}),
    )


def upsert(body: bytes) -> Upsert:
    """Raises Refused. An item without an id gets one that its text gives it: sent twice, it is there once."""
    asked = read(_UpsertBody, body)
    items = tuple(
        Item(
            one.id or str(uuid.uuid5(_IDS, one.text)),
            one.text,
            one.vector,
            metadata(f"items.{index}.metadata", one.metadata),
        )
        for index, one in enumerate(asked.items)
    )
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item.id in seen:
            raise refused(f"items.{index}.id", item.id, "two items have this id", "send each item once")
        seen.add(item.id)
    return Upsert(collection(asked.collection), store(asked.store), asked.model, items)


def collection(name: str) -> str:
    """Of a body or a path: a name that every store takes. Raises Refused: their clients put it into paths of theirs as
    it is, where `..` is all there is."""
    if not re.fullmatch(_NAME, name) or ".." in name or _is_address(name):
        raise refused("collection", name, "that is no name of a collection", f"collection has to be {_A_NAME}")
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def asked_store(query: Sequence[tuple[str, str]]) -> StoreName | None:
    """Of the query of a URL: who has written it otherwise may have meant another store. Raises Refused."""
    for key, value in query:
        if key != "store":
            raise refused(key, value, "there is no such parameter", "say store, or leave it out")
    if len(query) > 1:
        raise refused("store", None, "it was given more than once", "say store once")
    return store(query[0][1] if query else None)


def store(name: str | None, field: str = "store") -> StoreName | None:
    """Raises Refused."""
    if name is None:
        return None
    if name not in list(StoreName):
        raise refused(field, name, f"there is no store {name!r}", f"one of {', '.join(StoreName)}, or leave it out")
    return StoreName(name)
