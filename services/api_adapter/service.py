"""The verbs on vectors: choose, embed, ask the store. Knows no HTTP and no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.api_adapter.bodies import Search, Upsert
from services.api_adapter.choosing import dimension_of, model_for
from services.api_adapter.vectors import Collection, Embedded, Embedder, Hit, Store, StoreName
from services.web_service.problems import Problem, Refused


@dataclass(frozen=True, slots=True)
class Found:
    store: StoreName
    collection: Collection
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    store: StoreName
    collection: Collection
    ids: tuple[str, ...]


class Vectors:
    """Raises Refused, and what stores and embedder raise."""

    def __init__(
        self, stores: Mapping[StoreName, Store], embedder: Embedder, store: StoreName, embedding_model: str
    ) -> None:
        """`store` and `embedding_model`: where a request names none."""
        self._stores = stores
        self._embedder = embedder
        self._default = store
        self._model = embedding_model

    async def search(self, asked: Search) -> Found:
        name = asked.store or self._default
        store = self._stores[name]
        collection = await store.find(asked.collection)
        if collection is None:
            raise Refused(missing(asked.collection, name))
        vector = asked.vector
        if vector is None:
            assert asked.query is not None
            (vector,) = await self._embedder.embed([asked.query], model_for(collection, asked.model, self._model))
        dimension_of([("query" if asked.vector is None else "vector", vector)], collection)
        return Found(name, collection, tuple(await store.search(collection, vector, asked.k, asked.wanted)))

    async def upsert(self, asked: Upsert) -> Kept:
        """Makes the collection where it is missing. Nothing is kept unless every item has a vector that fits."""
        name = asked.store or self._default
        store = self._stores[name]
        collection = await store.find(asked.collection)
        texts = {index: item.text for index, item in enumerate(asked.items) if item.vector is None}
        model = model_for(collection, asked.model, self._model) if texts else asked.model
        if model is not None and collection is not None and not texts:
            model_for(collection, asked.model, self._model)
        made = await self._embedder.embed(list(texts.values()), model) if texts and model else []
        vectors = dict(zip(texts, made, strict=True))
        items = [
            Embedded(item.id, item.text, item.vector or vectors[index], item.metadata)
            for index, item in enumerate(asked.items)
        ]
        size = dimension_of([(f"items.{index}.vector", item.vector) for index, item in enumerate(items)], collection)
        if collection is None:
            await store.create(Collection(asked.collection, embedding=model, dimension=size))
            # Somebody else may have made it meanwhile, with another model.
            collection = await store.find(asked.collection) or Collection(asked.collection, embedding=model)
            if texts:
                model_for(collection, model, self._model)
            collection = replace(collection, dimension=dimension_of([("items", items[0].vector)], collection))
        await store.upsert(collection, items)
        return Kept(name, collection, tuple(item.id for item in items))

    async def collections(self, name: StoreName | None) -> tuple[StoreName, list[Collection]]:
        chosen = name or self._default
        return chosen, await self._stores[chosen].collections()

    async def delete(self, collection: str, name: StoreName | None) -> None:
        chosen = name or self._default
        if not await self._stores[chosen].delete(collection):
            raise Refused(missing(collection, chosen))


def missing(collection: str, store: StoreName) -> Problem:
    others = ", ".join(one for one in StoreName if one is not store)
    remedy = f"POST /vectors/upsert makes it; GET /vectors/collections lists those there are; store may be {others} too"
    return Problem(404, "no-collection", f"{store} has no collection {collection!r}", "collection", collection, remedy)
