"""Puts the adapter together."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from services.api_adapter.app import application
from services.api_adapter.listing import Models
from services.api_adapter.service import Vectors
from services.api_adapter.settings import Settings
from services.api_adapter.stores.watched import WatchedEmbedder, WatchedStore
from services.api_adapter.vectors import Embedder, Store, StoreName


def made(settings: Settings) -> web.Application:
    """Clients of the databases are made at the first request that wants one."""

    def chroma() -> Store:
        from services.api_adapter.stores.chroma import ChromaStore

        return ChromaStore(settings.chroma, settings.patience)

    def qdrant() -> Store:
        from services.api_adapter.stores.qdrant import QdrantStore

        return QdrantStore.at(settings.qdrant, settings.patience)

    def ollama() -> Embedder:
        from services.api_adapter.embedding import OllamaEmbedder

        return OllamaEmbedder(settings.ollama, settings.patience)

    stores = {
        StoreName.CHROMA: WatchedStore("chroma", chroma),
        StoreName.QDRANT: WatchedStore("qdrant", qdrant),
    }
    embedder, models = WatchedEmbedder("ollama", ollama), Models(settings.speakers)
    vectors = Vectors(stores, embedder, settings.store, settings.embedding_model)
    app = application(vectors, models, largest=settings.largest)

    async def clients(_: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as session:
            models.session = session
            yield
        await embedder.close()
        for store in stores.values():
            await store.close()

    app.cleanup_ctx.append(clients)
    return app
