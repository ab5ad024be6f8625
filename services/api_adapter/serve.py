"""Puts the adapter together and serves it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aiohttp
from aiohttp import web

from services.api_adapter.app import application
from services.api_adapter.listing import Models
from services.api_adapter.service import Vectors
from services.api_adapter.settings import Settings
from services.api_adapter.stores.watched import WatchedEmbedder, WatchedStore
from services.api_adapter.vectors import Embedder, Store, StoreName

log = logging.getLogger(__name__)
_GRACE = 5.0
"""Seconds that answers under way have when the process is to end."""


async def serve(settings: Settings, host: str, port: int) -> None:
    """Until it is cancelled. Raises OSError where the address cannot be had."""

    def chroma() -> Store:
        from services.api_adapter.stores.chroma import ChromaStore

        return ChromaStore(settings.chroma, settings.longest)

    def qdrant() -> Store:
        from services.api_adapter.stores.qdrant import QdrantStore

        return QdrantStore.at(settings.qdrant, settings.longest)

    def ollama() -> Embedder:
        from services.api_adapter.embedding import OllamaEmbedder

        return OllamaEmbedder(settings.ollama, settings.longest)

    stores = {
        StoreName.CHROMA: WatchedStore("chroma", chroma),
        StoreName.QDRANT: WatchedStore("qdrant", qdrant),
    }
    embedder = WatchedEmbedder("ollama", ollama)
    vectors = Vectors(stores, embedder, settings.store, settings.embedding_model)
    async with contextlib.AsyncExitStack() as ending:
        session = await ending.enter_async_context(aiohttp.ClientSession())
        app = application(vectors, Models(session, settings.speakers), largest=settings.largest)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_GRACE)
        ending.push_async_callback(embedder.close)
        for store in stores.values():
            ending.push_async_callback(store.close)
        await runner.setup()
        ending.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host, port, backlog=1024).start()
        log.info("serves %s:%s; vectors go to %s unless a request says otherwise", host, port, settings.store)
        await asyncio.Event().wait()
