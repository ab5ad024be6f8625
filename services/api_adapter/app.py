"""The adapter's HTTP: routes, sizes, and the one place where a failure becomes an answer.

Each handler is cancelled when its client leaves, and with it what it has asked of others.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from services.api_adapter import bodies
from services.api_adapter.listing import Models
from services.api_adapter.problems import MEDIA_TYPE, Problem, Refused
from services.api_adapter.service import Vectors
from services.api_adapter.translate.models import merged
from services.api_adapter.upstream import UpstreamFailed, problem_of
from services.api_adapter.vectors import Collection

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(vectors: Vectors, models: Models, *, largest: int) -> web.Application:
    """`largest`: bytes of a request's body."""
    api = Api(vectors, models)
    counted = Counted()
    app = web.Application(client_max_size=largest, middlewares=[counted.middleware, _problems])
    app.add_routes(
        [
            web.get("/healthz", api.healthz),
            web.get("/models", api.models),
            web.post("/vectors/search", api.search),
            web.post("/vectors/upsert", api.upsert),
            web.get("/vectors/collections", api.collections),
            web.delete("/vectors/collections/{name}", api.delete),
            web.get("/metrics", counted.metrics),
        ]
    )
    return app


class Api:
    def __init__(self, vectors: Vectors, models: Models) -> None:
        self._vectors = vectors
        self._models = models

    async def healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

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
        store, found = await self._vectors.collections(bodies.store(request.query.get("store")))
        return web.json_response({"store": store, "collections": [_told(one) for one in found]})

    async def delete(self, request: web.Request) -> web.Response:
        await self._vectors.delete(request.match_info["name"], bodies.store(request.query.get("store")))
        return web.Response(status=204)


def _told(collection: Collection) -> dict[str, object]:
    return {
        "name": collection.name,
        "metric": collection.metric,
        "model": collection.embedding,
        "dimension": collection.dimension,
    }


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return answer(refused.problem)
    except web.HTTPRequestEntityTooLarge as error:
        detail = f"the body is larger than {error.text or 'allowed'}"
        return answer(Problem(413, "too-large", detail, remedy="send the items in several requests"))
    except web.HTTPException as error:
        return answer(Problem(error.status, "http", f"{error.reason}: {request.method} {request.path}"))
    except UpstreamFailed as failed:
        problem = problem_of(failed.__cause__ or failed, failed.service)
        log.info("%s %s: %s %s", request.method, request.path, problem.status, problem.detail)
        return answer(problem)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return answer(Problem(500, "internal", "a fault of the adapter's own; its log has the rest"))


def answer(problem: Problem) -> web.Response:
    body = json.dumps(problem.document()).encode()
    return web.Response(status=problem.status, body=body, content_type=MEDIA_TYPE, headers=problem.headers())


class Counted:
    """Figures for Prometheus: how many, how long, with which status; by route, as names of collections are endless."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        names = ("route", "status")
        self._requests = Counter("aihub_adapter_requests", "Requests answered", names, registry=self._registry)
        self._seconds = Histogram(
            "aihub_adapter_seconds", "How long an answer took", ("route",), registry=self._registry
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        began = time.monotonic()
        status = 499  # the client has left
        try:
            made = await handler(request)
            status = made.status
            return made
        finally:
            self._requests.labels(route, status).inc()
            self._seconds.labels(route).observe(time.monotonic() - began)

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": "text/plain; version=0.0.4"})
