"""Qdrant by its own client, over HTTP: gRPC would be one more port to wake by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient, models

from services.api_adapter.translate import qdrant as words
from services.api_adapter.vectors import Collection, Embedded, Filter, Hit, Vector

_AT_ONCE = 256


class QdrantStore:
    def __init__(self, client: AsyncQdrantClient) -> None:
        self._client = client

    @classmethod
    def at(cls, base: str, longest: float) -> QdrantStore:
        """`longest`: seconds that one request may take; a sleeping server wakes in that time."""
        port = urlsplit(base).port or 80
        # Asking for the server's version first would be a request that nobody asked for.
        client = AsyncQdrantClient(url=base, port=port, timeout=math.ceil(longest), check_compatibility=False)
        return cls(client)

    async def find(self, name: str) -> Collection | None:
        if not await self._client.collection_exists(name):
            return None
        return await self._told(name)

    async def create(self, collection: Collection) -> None:
        assert collection.dimension is not None
        noted = {} if collection.embedding is None else {words.EMBEDDING_KEY: collection.embedding}
        try:
            await self._client.create_collection(
                collection.name,
                vectors_config=models.VectorParams(size=collection.dimension, distance=models.Distance.COSINE),
                metadata=noted,
            )
        except Exception:
            # Made by somebody else at this very moment: then it is there.
            if not await self._client.collection_exists(collection.name):
                raise

    async def upsert(self, collection: Collection, items: Sequence[Embedded]) -> None:
        for begin in range(0, len(items), _AT_ONCE):
            points = [models.PointStruct(**words.point(item)) for item in items[begin : begin + _AT_ONCE]]
            await self._client.upsert(collection.name, points=points, wait=True)

    async def search(self, collection: Collection, vector: Vector, k: int, wanted: Filter) -> list[Hit]:
        asked = words.condition(wanted)
        reply = await self._client.query_points(
            collection.name,
            query=list(vector),
            limit=k,
            query_filter=models.Filter(**asked) if asked else None,
            with_payload=True,
        )
        return [words.hit(one.id, one.score, one.payload, collection.metric) for one in reply.points]

    async def collections(self) -> list[Collection]:
        names = sorted(one.name for one in (await self._client.get_collections()).collections)
        return [await self._told(name) for name in names]

    async def delete(self, name: str) -> bool:
        if not await self._client.collection_exists(name):
            return False
        return bool(await self._client.delete_collection(name))

    async def close(self) -> None:
        await self._client.close()

    async def _told(self, name: str) -> Collection:
        config = (await self._client.get_collection(name)).config
        vectors: Any = config.params.vectors
        plain = vectors.model_dump(mode="json") if hasattr(vectors, "model_dump") else vectors
        return words.collection(name, plain, getattr(config, "metadata", None))
