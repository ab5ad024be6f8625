"""Chroma's words: `where` clauses, distances, collections' settings. Pure: plain values in, plain values out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from services.api_adapter.vectors import Collection, Condition, Filter, Hit, Metric

EMBEDDING_KEY, DIMENSION_KEY = "aihub:embedding", "aihub:dimension"
"""In a collection's metadata: what it was made with."""
_METRICS = {"cosine": Metric.COSINE, "ip": Metric.DOT, "l2": Metric.EUCLID}


def where(wanted: Filter) -> dict[str, Any] | None:
    """None where nothing is asked for: Chroma refuses an empty clause."""
    clauses = [_clause(condition) for condition in wanted]
    if not clauses:
        return None
    return clauses[0] if len(clauses) == 1 else {"$and": clauses}


def _clause(condition: Condition) -> dict[str, Any]:
    value = list(condition.value) if isinstance(condition.value, tuple) else condition.value
    return {condition.key: {condition.op.value: value}}


def settings(collection: Collection) -> tuple[dict[str, Any], dict[str, str | int]]:
    """Configuration and metadata of a new collection."""
    noted: dict[str, str | int] = {}
    if collection.embedding is not None:
        noted[EMBEDDING_KEY] = collection.embedding
    if collection.dimension is not None:
        noted[DIMENSION_KEY] = collection.dimension
    return {"hnsw": {"space": "cosine"}}, noted


def collection(name: str, configuration: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> Collection:
    """`configuration`: as the server tells it; collections of old say their space in the metadata."""
    noted = metadata or {}
    space = (configuration.get("hnsw") or configuration.get("spann") or {}).get("space") or noted.get("hnsw:space")
    embedding, dimension = noted.get(EMBEDDING_KEY), noted.get(DIMENSION_KEY)
    return Collection(
        name,
        _METRICS.get(str(space or "l2"), Metric.OTHER),
        str(embedding) if embedding else None,
        int(dimension) if isinstance(dimension, int) else None,
    )


def score(distance: float, metric: Metric) -> float:
    """Chroma gives 1 - cosine, 1 - inner product, or the square of the distance."""
    match metric:
        case Metric.COSINE | Metric.DOT:
            return 1.0 - distance
        case Metric.EUCLID:
            return 1.0 / (1.0 + math.sqrt(max(distance, 0.0)))
        case Metric.OTHER:
            return -distance


def hits(reply: Mapping[str, Any], metric: Metric) -> list[Hit]:
    """Of a query with one vector."""
    ids: Sequence[str] = reply["ids"][0]
    distances = reply["distances"][0]
    texts = (reply.get("documents") or [None])[0] or [None] * len(ids)
    metadatas = (reply.get("metadatas") or [None])[0] or [None] * len(ids)
    return [
        Hit(one, score(float(distance), metric), text or "", dict(metadata or {}))
        for one, distance, text, metadata in zip(ids, distances, texts, metadatas, strict=True)
    ]
