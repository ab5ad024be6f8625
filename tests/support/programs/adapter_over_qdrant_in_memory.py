"""The adapter over Qdrant's client in memory, and over the Chroma it is told of; in an environment of its packages.

`python adapter_over_qdrant_in_memory.py CHECKOUT CHROMA_BASE PORT`
"""

import sys

sys.path.insert(0, sys.argv[1])

from aiohttp import web
from qdrant_client import AsyncQdrantClient  # type: ignore[import-not-found, unused-ignore]

from services.api_adapter.app import application
from services.api_adapter.embedding import OllamaEmbedder
from services.api_adapter.listing import Models
from services.api_adapter.service import Vectors
from services.api_adapter.stores.chroma import ChromaStore
from services.api_adapter.stores.qdrant import QdrantStore
from services.api_adapter.stores.watched import WatchedEmbedder, WatchedStore
from services.api_adapter.vectors import StoreName

_PATIENCE = 30.0


def main(chroma: str, port: int) -> None:
    stores = {
        StoreName.CHROMA: WatchedStore("chroma", lambda: ChromaStore(chroma, _PATIENCE)),
        StoreName.QDRANT: WatchedStore("qdrant", lambda: QdrantStore(AsyncQdrantClient(":memory:"))),
    }
    embedder = WatchedEmbedder("ollama", lambda: OllamaEmbedder("http://127.0.0.1:9", _PATIENCE))
    vectors = Vectors(stores, embedder, StoreName.CHROMA, "none")
    web.run_app(application(vectors, Models(()), largest=32 << 20), host="127.0.0.1", port=port, print=None)


main(sys.argv[2], int(sys.argv[3]))
