"""The adapter over HTTP, with a store that keeps everything here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from services.api_adapter.app import application
from services.api_adapter.listing import AGENT, Models
from services.api_adapter.service import Vectors
from services.api_adapter.stores.watched import WatchedEmbedder, WatchedStore
from services.api_adapter.translate.models import Listed, Speaker
from services.api_adapter.vectors import Collection, Store, StoreName, Vector
from tests.support.acting_hub import ActingHub, acting_hub, falls_silent, hangs_up, says
from tests.unit.api_adapter.in_memory import InMemoryStore, LetterEmbedder


class Adapter:
    def __init__(self) -> None:
        self.chroma, self.qdrant = InMemoryStore(), InMemoryStore()
        self.embedder = LetterEmbedder()
        self.models = Models(())
        self.base = ""
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Adapter:
        stores: Mapping[StoreName, Store] = {
            StoreName.CHROMA: WatchedStore("chroma", lambda: self.chroma),
            StoreName.QDRANT: WatchedStore("qdrant", lambda: self.qdrant),
        }
        embedder = WatchedEmbedder("ollama", lambda: self.embedder)
        vectors = Vectors(stores, embedder, StoreName.CHROMA, "usual")
        self._runner = web.AppRunner(application(vectors, self.models, largest=4096), handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession(self.base)
        self.models.session = self._session
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        assert self._runner is not None
        await self._session.close()
        await self._runner.cleanup()

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any, Mapping[str, str]]:
        assert self._session is not None
        data = body if isinstance(body, bytes) else None
        sent = None if data is not None else body
        async with self._session.request(method, path, json=sent, data=data) as answer:
            text = await answer.text()
            kind = answer.headers.get("content-type", "")
            return answer.status, (await answer.json(content_type=None) if "json" in kind else text), answer.headers


@pytest.fixture
async def adapter() -> AsyncIterator[Adapter]:
    async with Adapter() as made:
        yield made


@pytest.fixture
def acting() -> Iterator[ActingHub]:
    with acting_hub() as hub:
        yield hub


ITEMS = [
    {"id": "a", "text": "aaa", "metadata": {"lang": "en"}},
    {"id": "b", "text": "bbb"},
    {"id": "v", "text": "given", "vector": [0, 0, 1]},
]


async def test_what_is_kept_is_found_nearest_first(adapter: Adapter) -> None:
    status, told, _ = await adapter.ask("POST", "/vectors/upsert", {"collection": "docs", "items": ITEMS})
    assert status == 200
    assert told["ids"] == ["a", "b", "v"]
    assert told["collection"] == {"name": "docs", "metric": "cosine", "model": "usual", "dimension": 3}
    assert adapter.embedder.asked == [("usual", 2)], "an item with a vector of its own is not embedded"
    status, told, _ = await adapter.ask("POST", "/vectors/search", {"collection": "docs", "query": "aab", "k": 2})
    assert status == 200
    assert [hit["id"] for hit in told["results"]] == ["a", "b"]
    assert (told["store"], told["metric"], told["model"]) == ("chroma", "cosine", "usual")
    near = {"collection": "docs", "vector": [0, 0, 2], "k": 1}
    assert (await adapter.ask("POST", "/vectors/search", near))[1]["results"][0] == {
        "id": "v",
        "score": 1.0,
        "text": "given",
        "metadata": {},
    }
    wanted = {"collection": "docs", "query": "b", "filter": {"lang": "en"}}
    assert [hit["id"] for hit in (await adapter.ask("POST", "/vectors/search", wanted))[1]["results"]] == ["a"]


async def test_the_same_items_twice_are_there_once_and_others_join_them(adapter: Adapter) -> None:
    for items in (ITEMS, ITEMS, [{"text": "abc"}]):
        told = await adapter.ask("POST", "/vectors/upsert", {"collection": "docs", "items": items})
        assert told[0] == 200
    _, told, _ = await adapter.ask("POST", "/vectors/search", {"collection": "docs", "query": "a", "k": 9})
    assert len(told["results"]) == 4


async def test_each_store_has_collections_of_its_own(adapter: Adapter) -> None:
    await adapter.ask("POST", "/vectors/upsert", {"collection": "docs", "items": ITEMS, "store": "qdrant"})
    assert (await adapter.ask("GET", "/vectors/collections"))[1] == {"store": "chroma", "collections": []}
    _, told, _ = await adapter.ask("GET", "/vectors/collections?store=qdrant")
    assert [one["name"] for one in told["collections"]] == ["docs"]
    assert (await adapter.ask("GET", "/vectors/collections?store=x"))[0] == 400
    status, told, _ = await adapter.ask("POST", "/vectors/search", {"collection": "docs", "query": "a"})
    assert (status, told["field"]) == (404, "collection")
    assert (await adapter.ask("DELETE", "/vectors/collections/docs?store=qdrant"))[0] == 204
    assert (await adapter.ask("DELETE", "/vectors/collections/docs?store=qdrant"))[0] == 404


@pytest.mark.parametrize("query", ["Store=qdrant", "stor=qdrant", "store=qdrant&store=chroma", "store=qdrant&x=1"])
async def test_nothing_is_deleted_where_the_store_is_not_said_clearly(adapter: Adapter, query: str) -> None:
    await adapter.ask("POST", "/vectors/upsert", {"collection": "docs", "items": ITEMS[:1]})
    for method, path in (("DELETE", "/vectors/collections/docs"), ("GET", "/vectors/collections")):
        status, told, _ = await adapter.ask(method, f"{path}?{query}")
        assert (status, bool(told["field"]), bool(told["remedy"])) == (400, True, True)
    assert "docs" in adapter.chroma.known


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"'])
async def test_a_body_that_is_no_object_is_refused_in_plain_words(adapter: Adapter, body: bytes) -> None:
    status, told, _ = await adapter.ask("POST", "/vectors/upsert", body)
    assert (status, told["detail"], told["remedy"]) == (400, "the body is no object", "send a JSON object")


async def test_nothing_is_kept_of_items_that_do_not_fit(adapter: Adapter) -> None:
    items = [{"text": "aaa"}, {"text": "x", "vector": [1, 2]}]
    status, told, headers = await adapter.ask("POST", "/vectors/upsert", {"collection": "docs", "items": items})
    assert (status, told["type"], told["field"]) == (409, "urn:aihub:problem:other-dimension", "items.1.vector")
    assert headers["content-type"] == "application/problem+json"
    assert adapter.chroma.known == {}


async def test_another_model_than_the_collections_own_is_refused_whoever_embeds(adapter: Adapter) -> None:
    await adapter.ask("POST", "/vectors/upsert", {"collection": "docs", "items": ITEMS, "model": "m"})
    for path, body in (
        ("/vectors/search", {"query": "a", "model": "n"}),
        ("/vectors/upsert", {"items": [{"text": "a"}], "model": "n"}),
        ("/vectors/upsert", {"items": [{"text": "a", "vector": [1, 2, 3]}], "model": "n"}),
    ):
        status, told, _ = await adapter.ask("POST", path, {"collection": "docs", **body})
        assert (status, told["field"], told["value"]) == (409, "model", "n")


async def test_a_collection_of_given_vectors_wants_a_vector_or_a_model_by_name(adapter: Adapter) -> None:
    given = {"collection": "given", "items": [{"text": "x", "vector": [1, 0, 0]}]}
    _, told, _ = await adapter.ask("POST", "/vectors/upsert", given)
    assert told["collection"]["model"] is None
    status, told, _ = await adapter.ask("POST", "/vectors/search", {"collection": "given", "query": "a"})
    assert (status, told["field"]) == (409, "model")
    named = {"collection": "given", "query": "a", "model": "m"}
    assert (await adapter.ask("POST", "/vectors/search", named))[0] == 200


async def test_two_who_make_a_collection_at_once_with_two_models_do_not_mix_them(adapter: Adapter) -> None:
    class Slow(InMemoryStore):
        """Somebody else makes the collection just before we do."""

        async def create(self, collection: Collection) -> None:
            await super().create(Collection(collection.name, embedding="theirs", dimension=3))

    adapter.chroma = Slow()
    status, told, _ = await adapter.ask("POST", "/vectors/upsert", {"collection": "docs", "items": [{"text": "a"}]})
    assert (status, told["type"]) == (409, "urn:aihub:problem:other-embedding")
    assert adapter.chroma.kept["docs"] == {}


async def test_a_body_that_is_too_large_is_told(adapter: Adapter) -> None:
    status, told, _ = await adapter.ask("POST", "/vectors/upsert", b"x" * 5000)
    assert (status, told["title"]) == (413, "too large")


async def test_what_is_not_there_and_what_is_not_meant_are_problems_too(adapter: Adapter) -> None:
    assert (await adapter.ask("GET", "/nothing"))[:2][1]["status"] == 404
    assert (await adapter.ask("PUT", "/vectors/search"))[1]["status"] == 405


async def test_a_failure_of_a_store_says_whose_it_is_and_of_ours_nothing_of_its_inside(adapter: Adapter) -> None:
    class Broken(InMemoryStore):
        async def find(self, name: str) -> Collection | None:
            raise ConnectionRefusedError("nobody listens")

    adapter.chroma = Broken()
    status, told, _ = await adapter.ask("POST", "/vectors/search", {"collection": "docs", "query": "a"})
    assert (status, told["service"]) == (502, "chroma")
    assert "nobody listens" in told["detail"]

    async def ask() -> list[Listed]:
        raise RuntimeError("a secret")

    adapter.models.ask = ask  # type: ignore[method-assign]
    status, told, _ = await adapter.ask("GET", "/models")
    assert (status, told["type"]) == (500, "urn:aihub:problem:internal")
    assert "secret" not in str(told)


async def test_a_client_that_leaves_ends_what_was_asked_for_it(adapter: Adapter) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    class Endless(LetterEmbedder):
        async def embed(self, texts: Sequence[str], model: str) -> list[Vector]:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

    adapter.embedder = Endless()
    asking = asyncio.ensure_future(
        adapter.ask("POST", "/vectors/upsert", {"collection": "docs", "items": [{"text": "a"}]})
    )
    await asyncio.wait_for(begun.wait(), 10)
    asking.cancel()
    await asyncio.wait_for(ended.wait(), 10)
    assert adapter.chroma.known == {}
    assert 'aihub_adapter_requests_total{route="/vectors/upsert",status="499"} 1.0' in await figures(adapter)


async def figures(adapter: Adapter) -> str:
    return str((await adapter.ask("GET", "/metrics"))[1])


async def test_health_and_figures_are_there(adapter: Adapter) -> None:
    assert (await adapter.ask("GET", "/healthz"))[1] == {"status": "ok"}
    assert 'route="/healthz",status="200"' in await figures(adapter)


async def test_models_are_asked_for_as_by_one_who_only_looks(adapter: Adapter, acting: ActingHub) -> None:
    adapter.models._speakers = (Speaker("ollama", f"{acting.base}/v1"),)
    acting.then(says({"data": [{"id": "tiny"}]}))
    _, told, _ = await adapter.ask("GET", "/models")
    assert [(one["id"], one["state"]) for one in told["data"]] == [("tiny", "ready")]
    (asked,) = acting.asked
    assert (asked.method, asked.path, asked.headers["user-agent"]) == ("GET", "/v1/models", AGENT)


@pytest.mark.parametrize(
    ("act", "state", "models", "trouble"),
    [
        (says(b"", x_hub_state="asleep"), "asleep", None, None),
        (says({"data": [{"id": "a"}]}, x_hub_state="asleep"), "asleep", 1, None),
        (says(b"", 503, x_hub_state="failed"), "failed", None, None),
        (says({"error": "no"}, 401), "ready", None, "status 401"),
        (says(b"<html>"), "ready", None, "Expecting value"),
        (says({"data": 7}), "ready", None, "its reply is no"),
        (says(b" " * (5 << 20)), "ready", None, "larger than"),
        (hangs_up, "unreachable", None, ""),
    ],
)
async def test_a_service_that_does_not_list_its_models_says_so_in_its_place(
    adapter: Adapter, acting: ActingHub, act: Any, state: str, models: int | None, trouble: str | None
) -> None:
    adapter.models._speakers = (Speaker("ollama", f"{acting.base}/v1"),)
    acting.then(act)
    status, told, _ = await adapter.ask("GET", "/models")
    found = told["services"]["ollama"]
    assert (status, found["state"], found.get("models")) == (200, state, models)
    assert (trouble or "") in found.get("trouble", "")
    assert ("trouble" in found) == (trouble is not None)


async def test_nobody_who_is_silent_keeps_the_list_from_the_others(
    adapter: Adapter, acting: ActingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api_adapter.listing._PATIENCE", aiohttp.ClientTimeout(total=0.2))
    acting.then(falls_silent)
    adapter.models._speakers = (Speaker("ollama", f"{acting.base}/v1", ("known",)),)
    _, told, _ = await adapter.ask("GET", "/models")
    assert [one["id"] for one in told["data"]] == ["known"]
    assert told["services"]["ollama"]["state"] == "unreachable"


LEADS_ELSEWHERE = ("%2e%2e", "%2e", "%2e%2e%2f%2e%2e%2fdatabases", "a%3Fb", "a%23b", "a%5Cb", "%00", "ab", "abc%0A")


@pytest.mark.parametrize("name", LEADS_ELSEWHERE)
async def test_a_name_that_leads_elsewhere_at_the_database_is_not_passed_on_to_be_deleted(
    adapter: Adapter, name: str
) -> None:
    for known in ("..", ".", "../../databases", "a?b", "a#b", "a\\b", "\0", "ab"):
        adapter.chroma.known[known] = Collection(known)
    assert adapter._session is not None
    path = URL(f"{adapter.base}/vectors/collections/{name}", encoded=True)
    async with adapter._session.delete(path) as answer:
        assert answer.status == 400
        assert (await answer.json())["field"] == "collection"
    assert len(adapter.chroma.known) == 8


@pytest.mark.parametrize(
    ("wanted", "field"),
    [({f"k{number}": number for number in range(65)}, "filter"), ({"n": {"$in": list(range(501))}}, "filter.n.$in")],
)
async def test_a_filter_that_a_database_might_not_survive_is_refused(
    adapter: Adapter, wanted: object, field: str
) -> None:
    status, told, _ = await adapter.ask(
        "POST", "/vectors/search", {"collection": "notes", "vector": [1.0], "filter": wanted}
    )
    assert (status, told["field"]) == (400, field)
