"""The adapter's routes: a request's body in, the verbs' outcome out."""

from __future__ import annotations

from aiohttp import web

from services.api_adapter import bodies
from services.api_adapter.listing import Models
from services.api_adapter.service import Vectors
from services.api_adapter.translate.models import merged
from services.api_adapter.vectors import Collection
from services.web_service import http


def application(vectors: Vectors, models: Models, *, largest: int) -> web.Application:
    """`largest`: bytes of a request's body."""
    api = _Api(vectors, models)
    app = http.application("aihub_adapter", largest=largest)
    app.add_routes(
        [
            web.get("/models", api.models),
            web.post("/vectors/search", api.search),
            web.post("/vectors/upsert", api.upsert),
            web.get("/vectors/collections", api.collections),
            web.delete("/vectors/collections/{name}", api.delete),
        ]
    )
    return app


class _Api:
    def __init__(self, vectors: Vectors, models: Models) -> None:
        self._vectors = vectors
        self._models = models

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response(merged(await self._models.ask()))

    async def search(self, request: web.Request) -> web.Response:
        found = await self._vectors.search(bodies.search(await request.read()))
        results = [
            {"id": hit.id, "score": hit.score, "text": hit.text, "metadata": dict(hit.metadata)} for hit in found.hits
        ]
        told = {"results": results, "store": found.store, "metric": found.collection.metric}
        return web.json_response({**told, "model": found.collection.embedding})

    async def upsert(self, request: web.Request) -> web.Response:
        kept = await self._vectors.upsert(bodies.upsert(await request.read()))
        return web.json_response({"ids": kept.ids, "store": kept.store, "collection": _told(kept.collection)})

    async def collections(self, request: web.Request) -> web.Response:
        store, found = await self._vectors.collections(bodies.asked_store(list(request.query.items())))
        return web.json_response({"store": store, "collections": [_told(one) for one in found]})

    async def delete(self, request: web.Request) -> web.Response:
        name = bodies.collection(request.match_info["name"])
        await self._vectors.delete(name, bodies.asked_store(list(request.query.items())))
        return web.Response(status=204)


def _told(collection: Collection) -> dict[str, object]:
    return {
        "name": collection.name,
        "metric": collection.metric,
        "model": collection.embedding,
        "dimension": collection.dimension,
    }
