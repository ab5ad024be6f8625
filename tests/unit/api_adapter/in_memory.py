"""A store and an embedder that keep everything here: what the verbs do is seen without a database."""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.api_adapter.vectors import Collection, Embedded, Filter, Hit, Op, Vector


class InMemoryStore:
    def __init__(self) -> None:
        self.known: dict[str, Collection] = {}
        self.kept: dict[str, dict[str, Embedded]] = {}

    async def find(self, name: str) -> Collection | None:
        return self.known.get(name)

    async def create(self, collection: Collection) -> None:
        self.known.setdefault(collection.name, collection)
        self.kept.setdefault(collection.name, {})

    async def upsert(self, collection: Collection, items: Sequence[Embedded]) -> None:
        self.kept[collection.name] |= {item.id: item for item in items}

    async def search(self, collection: Collection, vector: Vector, k: int, wanted: Filter) -> list[Hit]:
        assert all(one.op is Op.EQ for one in wanted)
        fitting = [
            item
            for item in self.kept[collection.name].values()
            if all(item.metadata.get(one.key) == one.value for one in wanted)
        ]
        hits = [Hit(item.id, _cosine(vector, item.vector), item.text, item.metadata) for item in fitting]
        return sorted(hits, key=lambda hit: -hit.score)[:k]

    async def collections(self) -> list[Collection]:
        return sorted(self.known.values(), key=lambda one: one.name)

    async def delete(self, name: str) -> bool:
        self.kept.pop(name, None)
        return self.known.pop(name, None) is not None

    async def close(self) -> None:
        pass


class LetterEmbedder:
    """How often each of three letters is in a text."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def embed(self, texts: Sequence[str], model: str) -> list[Vector]:
        self.asked.append((model, len(texts)))
        return [[float(text.count(letter)) for letter in "abc"] for text in texts]

    async def close(self) -> None:
        pass


def _cosine(one: Vector, other: Vector) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0
