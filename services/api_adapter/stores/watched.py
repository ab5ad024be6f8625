"""Stores and embedder as the verbs get them: made when first asked for, and with exceptions that say whose they are.

Their clients' packages take more than a second to load, which a wake for the list of models need not wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from services.api_adapter.vectors import Collection, Embedded, Embedder, Filter, Hit, Store, Vector
from services.web_service.answers import UpstreamFailed


class _Closable(Protocol):
    async def close(self) -> None: ...


_T = TypeVar("_T")
_C = TypeVar("_C", bound=_Closable)


class _Watched(Generic[_C]):
    def __init__(self, service: str, make: Callable[[], _C]) -> None:
        """`make` may take its time, and runs in a thread; once."""
        self._service = service
        self._make = make
        self._made: _C | None = None
        self._making = asyncio.Lock()

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()

    async def _ask(self, work: Callable[[_C], Awaitable[_T]]) -> _T:
        """Raises UpstreamFailed, whose cause is what the client has raised."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        try:
            return await work(self._made)
        except Exception as error:
            raise UpstreamFailed(self._service) from error


class WatchedStore(_Watched[Store]):
    async def find(self, name: str) -> Collection | None:
        return await self._ask(lambda store: store.find(name))

    async def create(self, collection: Collection) -> None:
        await self._ask(lambda store: store.create(collection))

    async def upsert(self, collection: Collection, items: Sequence[Embedded]) -> None:
        await self._ask(lambda store: store.upsert(collection, items))

    async def search(self, collection: Collection, vector: Vector, k: int, wanted: Filter) -> list[Hit]:
        return await self._ask(lambda store: store.search(collection, vector, k, wanted))

    async def collections(self) -> list[Collection]:
        return await self._ask(lambda store: store.collections())

    async def delete(self, name: str) -> bool:
        return await self._ask(lambda store: store.delete(name))


class WatchedEmbedder(_Watched[Embedder]):
    async def embed(self, texts: Sequence[str], model: str) -> list[Vector]:
        return await self._ask(lambda embedder: embedder.embed(texts, model))
