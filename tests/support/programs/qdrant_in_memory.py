"""Runs the adapter's Qdrant store with the client's own mode in memory; in an environment that has the client.

`python qdrant_in_memory.py CHECKOUT`: ends with 0 where everything holds.
"""

import asyncio
import sys

sys.path.insert(0, sys.argv[1])

from qdrant_client import AsyncQdrantClient  # type: ignore[import-not-found, unused-ignore]

from services.api_adapter.stores.qdrant import QdrantStore
from services.api_adapter.vectors import Collection, Condition, Embedded, Metric, Op


async def main() -> None:
    store = QdrantStore(AsyncQdrantClient(":memory:"))
    assert await store.find("docs") is None
    docs = Collection("docs", embedding="tiny", dimension=2)
    await store.create(docs)
    await store.create(docs)
    found = await store.find("docs")
    assert found == Collection("docs", Metric.COSINE, "tiny", 2), found
    items = [
        Embedded("my a", "text a", [1.0, 0.0], {"lang": "en", "year": 2020, "ratio": 0.5}),
        Embedded("my b", "text b", [0.0, 1.0], {"lang": "fr", "year": 2024}),
        Embedded("my c", "text c", [1.0, 1.0], {}),
    ]
    await store.upsert(docs, items)
    await store.upsert(docs, items)
    hits = await store.search(docs, [1.0, 0.1], 9, ())
    assert [hit.id for hit in hits] == ["my a", "my c", "my b"], hits
    assert hits[0].text == "text a"
    assert hits[0].metadata == {"lang": "en", "year": 2020, "ratio": 0.5}
    assert hits[0].score > 0.99
    for wanted, ids in (
        ((Condition("lang", Op.EQ, "en"),), {"my a"}),
        ((Condition("year", Op.GT, 2020),), {"my b"}),
        ((Condition("year", Op.IN, (2020, 2024)),), {"my a", "my b"}),
        ((Condition("ratio", Op.EQ, 0.5),), {"my a"}),
        ((Condition("ratio", Op.IN, (0.5, 0.25)),), {"my a"}),
        ((Condition("lang", Op.NE, "en"),), {"my b", "my c"}),
        ((Condition("lang", Op.EQ, "en"), Condition("year", Op.LT, 2000)), set()),
    ):
        got = {hit.id for hit in await store.search(docs, [1.0, 0.0], 9, wanted)}
        assert got == ids, (wanted, got)
    assert [one.name for one in await store.collections()] == ["docs"]
    assert await store.delete("docs")
    assert not await store.delete("docs")
    await store.close()
    print("all of it holds")


asyncio.run(main())
