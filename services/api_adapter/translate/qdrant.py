"""Qdrant's words: filters, points, collections' settings. Pure: the plain values that its models are made of.

A point keeps text and metadata under the keys that LangChain's own Qdrant store uses, so each reads the other's points.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from services.api_adapter.vectors import Collection, Condition, Embedded, Filter, Hit, Metric, Op

TEXT, METADATA, ID = "page_content", "metadata", "aihub_id"
EMBEDDING_KEY = "aihub:embedding"
_SPACE = UUID("5b0ee9b8-41ee-4b3c-9d86-3e2a9f5f0c11")
_METRICS = {"Cosine": Metric.COSINE, "Dot": Metric.DOT, "Euclid": Metric.EUCLID}
_RANGES = {Op.GT: "gt", Op.GTE: "gte", Op.LT: "lt", Op.LTE: "lte"}


def point_id(own: str) -> str:
    """Qdrant takes UUIDs and numbers alone: any other name becomes the UUID that it always becomes, a UUID in a form of
    its own (`{…}`, large letters) too, since two names are two items."""
    try:
        if str(UUID(own)) == own:
            return own
    except ValueError:
        pass
    return str(uuid5(_SPACE, own))


def point(item: Embedded) -> dict[str, Any]:
    payload = {TEXT: item.text, METADATA: dict(item.metadata), ID: item.id}
    return {"id": point_id(item.id), "vector": list(item.vector), "payload": payload}


def condition(wanted: Filter) -> dict[str, Any] | None:
    """None where nothing is asked for."""
    must = [_clause(one) for one in wanted if one.op is not Op.NE]
    must_not = [_clause(one) for one in wanted if one.op is Op.NE]
    found = {"must": must, "must_not": must_not}
    return {key: value for key, value in found.items() if value} or None


def _clause(one: Condition) -> dict[str, Any]:
    key = f"{METADATA}.{_step(one.key)}"
    if isinstance(one.value, tuple):
        if any(isinstance(value, float | bool) for value in one.value):
            return {"should": [_equal(key, value) for value in one.value]}
        return {"key": key, "match": {"any": list(one.value)}}
    if one.op in _RANGES:
        return {"key": key, "range": {_RANGES[one.op]: one.value}}
    return _equal(key, one.value)


def _step(key: str) -> str:
    """Of a path. Without quotes a dot leads into an object and brackets into a list, and most signs are refused."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'


def _equal(key: str, value: object) -> dict[str, Any]:
    """Qdrant matches no fractions, only ranges of them."""
    if isinstance(value, float):
        return {"key": key, "range": {"gte": value, "lte": value}}
    return {"key": key, "match": {"value": value}}


def collection(name: str, vectors: object, metadata: Mapping[str, Any] | None) -> Collection:
    """`vectors`: the setting `params.vectors` as plain values; with several vectors by name there is none to choose."""
    embedding = (metadata or {}).get(EMBEDDING_KEY)
    known = vectors if isinstance(vectors, Mapping) and "size" in vectors else {}
    size = known.get("size")
    metric = _METRICS.get(str(known.get("distance", "")), Metric.OTHER)
    return Collection(name, metric, str(embedding) if embedding else None, int(size) if size else None)


def score(given: float, metric: Metric) -> float:
    """Qdrant's scores of Euclid are distances, all others rise with nearness."""
    return 1.0 / (1.0 + given) if metric is Metric.EUCLID else given


def hit(identity: object, given: float, payload: Mapping[str, Any] | None, metric: Metric) -> Hit:
    held = dict(payload or {})
    text = held.pop(TEXT, None) or held.pop("text", None) or held.pop("document", None) or ""
    own = held.pop(ID, None)
    metadata = held.pop(METADATA, None)
    told = dict(metadata) if isinstance(metadata, Mapping) else held
    found = score(given, metric)
    return Hit(str(own or identity), found if math.isfinite(found) else 0.0, str(text), told)
