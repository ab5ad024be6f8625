"""The adapter's own words for vectors, and the seam to whoever keeps them.

A dialect is a pure translator in `translate/` and a `Store` in `stores/`; neither knows another. Scores are higher the
nearer, and each collection says by which metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

Scalar = str | int | float | bool
Vector = Sequence[float]


class StoreName(StrEnum):
    CHROMA = "chroma"
    QDRANT = "qdrant"


class Metric(StrEnum):
    """What a score is."""

    COSINE = "cosine"
    """Cosine of the angle: 1 is the same direction, 0 unrelated. What collections made here have."""
    DOT = "dot"
    """The inner product, unbounded."""
    EUCLID = "euclid"
    """1 / (1 + distance): 1 is the same place."""
    OTHER = "other"
    """As the store has it."""


class Op(StrEnum):
    EQ = "$eq"
    NE = "$ne"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"
    IN = "$in"


@dataclass(frozen=True, slots=True)
class Condition:
    """On one key of the metadata; all conditions of a filter have to hold."""

    key: str
    op: Op
    value: Scalar | tuple[Scalar, ...]
    """Several for `$in`, and for it alone."""


Filter = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    name: str
    metric: Metric = Metric.COSINE
    embedding: str | None = None
    """The model that its texts were embedded with; None where nobody has said: its vectors came from elsewhere."""
    dimension: int | None = None
    """Numbers in a vector; None where the store does not tell."""


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    text: str
    vector: Vector | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Embedded:
    """An item with its vector, ready to be kept."""

    id: str
    text: str
    vector: Vector
    metadata: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Hit:
    id: str
    score: float
    text: str
    metadata: Mapping[str, object]


class Store(Protocol):
    """One vector database. Verbs raise whatever its client raises, for `upstream` to tell; cancelling one leaves what
    was kept already."""

    async def find(self, name: str) -> Collection | None: ...

    async def create(self, collection: Collection) -> None:
        """Idempotent: two callers at once get one collection. The dimension has to be known."""

    async def upsert(self, collection: Collection, items: Sequence[Embedded]) -> None:
        """Idempotent: an item of the same id is replaced. Searches that begin afterwards find it."""

    async def search(self, collection: Collection, vector: Vector, k: int, wanted: Filter) -> list[Hit]:
        """The nearest `k`, the nearest first."""

    async def collections(self) -> list[Collection]:
        """By name."""

    async def delete(self, name: str) -> bool:
        """Whether there was one."""

    async def close(self) -> None: ...


class Embedder(Protocol):
    async def embed(self, texts: Sequence[str], model: str) -> list[Vector]:
        """A vector for each text, in order."""

    async def close(self) -> None: ...
