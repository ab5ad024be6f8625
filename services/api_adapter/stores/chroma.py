"""Chroma by its own thin client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from chromadb import AsyncHttpClient
from chromadb.config import Settings
from chromadb.errors import NotFoundError

from services.api_adapter.translate import chroma as words
from services.api_adapter.vectors import Collection, Embedded, Filter, Hit, Vector

_AT_ONCE = 300
"""Items in one request: the server's limit follows its database's, and this is below any."""


class ChromaStore:
    """Connects at the first verb, which wakes a sleeping server. `longest`: seconds that a verb may take."""

    def __init__(self, base: str, longest: float) -> None:
        self._base = base
        self._longest = longest
        self._made: Any = None
        self._making = asyncio.Lock()

    async def find(self, name: str) -> Collection | None:
        async with asyncio.timeout(self._longest):
            found = await self._get(name)
        return _told(found) if found else None

    async def create(self, collection: Collection) -> None:
        configuration, metadata = words.settings(collection)
        async with asyncio.timeout(self._longest):
            client = await self._client()
            await client.get_or_create_collection(
                collection.name, configuration=configuration, metadata=metadata, embedding_function=None
            )

    async def upsert(self, collection: Collection, items: Sequence[Embedded]) -> None:
        async with asyncio.timeout(self._longest):
            kept = await self._get(collection.name)
            if kept is None:
                # Deleted since it was found, as the server itself would say of a moment later.
                raise NotFoundError(f"collection {collection.name} was deleted meanwhile")
            for begin in range(0, len(items), _AT_ONCE):
                part = items[begin : begin + _AT_ONCE]
                await kept.upsert(
                    ids=[item.id for item in part],
                    embeddings=[list(item.vector) for item in part],
                    documents=[item.text for item in part],
                    # Chroma takes no empty metadata.
                    metadatas=[dict(item.metadata) or None for item in part],
                )

    async def search(self, collection: Collection, vector: Vector, k: int, wanted: Filter) -> list[Hit]:
        async with asyncio.timeout(self._longest):
            kept = await self._get(collection.name)
            if kept is None:
                return []
            reply = await kept.query(
                query_embeddings=[list(vector)],
                n_results=k,
                where=words.where(wanted),
                include=["documents", "metadatas", "distances"],
            )
        return words.hits(reply, collection.metric)

    async def collections(self) -> list[Collection]:
        async with asyncio.timeout(self._longest):
            client = await self._client()
            return sorted([_told(one) for one in await client.list_collections()], key=lambda one: one.name)

    async def delete(self, name: str) -> bool:
        async with asyncio.timeout(self._longest):
            client = await self._client()
            try:
                await client.delete_collection(name)
            except NotFoundError:
                return False
        return True

    async def close(self) -> None:
        """The client's own connections end with the loop: it has no verb for it that may be called within one."""

    async def _get(self, name: str) -> Any:
        client = await self._client()
        try:
            return await client.get_collection(name, embedding_function=None)
        except NotFoundError:
            return None

    async def _client(self) -> Any:
        """Made once: making it asks the server for the tenant."""
        async with self._making:
            if self._made is None:
                settings = Settings(_env_file=None, anonymized_telemetry=False)
                self._made = await AsyncHttpClient(host=self._base, settings=settings)
            return self._made


def _told(collection: Any) -> Collection:
    return words.collection(collection.name, collection.configuration_json, collection.metadata)
