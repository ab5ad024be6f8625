"""The adapter with a real Chroma and a real Ollama, from its own lock, as the catalogue runs it.

No Qdrant server can be had here. Its store is run with Qdrant's own client, in the mode that keeps everything in the
process: what that proves are the client's calls and the words, and not what a server makes of them.
"""

from __future__ import annotations

import math
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.support.acting_hub import acting_hub, falls_silent, says
from tests.support.asking import ask
from tests.support.own_services import closed_port, own
from tests.support.service_env import ROOT, programs

pytestmark = [pytest.mark.process, pytest.mark.network]


@pytest.fixture
def name() -> str:
    """Of a collection that is this test's alone."""
    return f"docs-{uuid.uuid4().hex[:8]}"


ITEMS = [
    {"id": "a", "text": "hello world", "metadata": {"lang": "en", "year": 2020}},
    {"id": "b", "text": "the hub sleeps", "metadata": {"lang": "en", "year": 2024, "ratio": 0.5}},
    {"id": "c", "text": "one two three"},
]


def kept(adapter: str, name: str) -> None:
    assert ask(f"{adapter}/vectors/upsert", {"collection": name, "items": ITEMS}).status == 200


def found(adapter: str, name: str, **more: object) -> list[str]:
    told = ask(f"{adapter}/vectors/search", {"collection": name, "query": "hub", **more})
    assert told.status == 200, told.text
    return [hit["id"] for hit in told.json["results"]]


def test_a_text_is_nearest_to_itself(adapter: str, name: str) -> None:
    kept(adapter, name)
    told = ask(f"{adapter}/vectors/search", {"collection": name, "query": "the hub sleeps", "k": 3}).json
    assert told["results"][0]["id"] == "b"
    assert told["results"][0]["score"] == pytest.approx(1.0, abs=1e-4)
    assert told["results"][0]["metadata"] == {"lang": "en", "year": 2024, "ratio": 0.5}
    scores = [hit["score"] for hit in told["results"]]
    assert scores == sorted(scores, reverse=True)
    assert (told["metric"], told["model"], told["store"]) == ("cosine", "tiny", "chroma")


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"lang": "en"}, {"a", "b"}),
        ({"lang": "en", "year": {"$gt": 2020}}, {"b"}),
        ({"year": {"$in": [2020, 1999]}}, {"a"}),
        ({"ratio": 0.5}, {"b"}),
        ({"year": {"$gte": 2020, "$lte": 2020}}, {"a"}),
        ({"lang": "fr"}, set()),
    ],
)
def test_a_filter_lets_through_what_it_says(adapter: str, name: str, wanted: dict[str, object], ids: set[str]) -> None:
    kept(adapter, name)
    assert set(found(adapter, name, filter=wanted)) == ids


def test_an_item_that_is_kept_again_is_replaced(adapter: str, name: str) -> None:
    kept(adapter, name)
    kept(adapter, name)
    assert sorted(found(adapter, name, k=50)) == ["a", "b", "c"]


def test_more_items_than_one_request_of_the_database_takes(adapter: str, name: str) -> None:
    around = [[math.cos(n / 250), math.sin(n / 250)] for n in range(700)]
    items = [{"id": f"i{n}", "text": f"t{n}", "vector": vector} for n, vector in enumerate(around)]
    told = ask(f"{adapter}/vectors/upsert", {"collection": name, "items": items})
    assert (told.status, len(told.json["ids"])) == (200, 700)
    for number in (0, 350, 699):
        told = ask(f"{adapter}/vectors/search", {"collection": name, "vector": around[number], "k": 3})
        assert told.json["results"][0]["id"] == f"i{number}"


def test_a_collection_is_listed_with_what_it_was_made_with_and_goes_when_told(adapter: str, name: str) -> None:
    kept(adapter, name)
    listed = {one["name"]: one for one in ask(f"{adapter}/vectors/collections").json["collections"]}
    assert listed[name] == {"name": name, "metric": "cosine", "model": "tiny", "dimension": 64}
    assert ask(f"{adapter}/vectors/collections/{name}", method="DELETE").status == 204
    assert ask(f"{adapter}/vectors/search", {"collection": name, "query": "x"}).status == 404


def test_another_model_is_refused_and_a_model_that_is_not_there_is_named(adapter: str, name: str) -> None:
    kept(adapter, name)
    told = ask(f"{adapter}/vectors/search", {"collection": name, "query": "x", "model": "other"})
    assert (told.status, told.json["field"]) == (409, "model")
    told = ask(f"{adapter}/vectors/upsert", {"collection": f"{name}-2", "items": [{"text": "x"}], "model": "nope"})
    assert told.status == 404
    assert told.json["remedy"].startswith("ollama pull nope, or POST /api/ollama/api/pull")


def test_models_of_who_is_awake_and_names_of_who_is_not(adapter: str) -> None:
    told = ask(f"{adapter}/models").json
    assert {(one["id"], one["service"], one["state"]) for one in told["data"]} == {
        ("tiny:latest", "ollama", "ready"),
        ("llama", "llama", "unreachable"),
    }


def test_a_database_that_is_not_there_is_told_apart_from_one_that_says_no(adapter: str) -> None:
    told = ask(f"{adapter}/vectors/search", {"collection": "docs", "query": "x", "store": "qdrant"})
    assert (told.status, told.json["service"]) == (502, "qdrant")


@pytest.mark.parametrize("store", ["chroma", "qdrant"])
def test_the_gates_refusal_comes_through_with_its_time(tmp_path: Path, ollama: str, store: str) -> None:
    """By each client, each of which makes an exception of its own of it."""
    with acting_hub() as hub:
        refusal = {"error": {"code": "waiting", "message": "it is being installed"}}
        hub.then(says(refusal, 503, x_hub_state="installing", retry_after="7"))
        environment = {"OLLAMA_BASE": hub.base, "CHROMA_BASE": hub.base, "QDRANT_BASE": hub.base}
        with own("api_adapter", environment, tmp_path) as base:
            told = ask(f"{base}/vectors/search", {"collection": "docs", "query": "x", "store": store})
    assert (told.status, told.headers.get("retry-after")) == (503, "7")
    assert told.json["detail"] == "it is being installed"
    assert told.json["service"] == store


def test_the_gates_refusal_comes_through_the_embedders_client_too(tmp_path: Path, chroma: str) -> None:
    with acting_hub() as hub:
        hub.then(says({"error": {"message": "no room"}}, 503, x_hub_state="stopped", retry_after="9"))
        environment = {"OLLAMA_BASE": hub.base, "CHROMA_BASE": chroma}
        with own("api_adapter", environment, tmp_path) as base:
            told = ask(f"{base}/vectors/upsert", {"collection": "docs-refused", "items": [{"text": "x"}]})
    assert (told.status, told.headers.get("retry-after"), told.json["detail"]) == (503, "9", "no room")


@pytest.mark.parametrize("store", ["chroma", "qdrant"])
def test_a_database_that_is_silent_ends_the_wait_in_time(tmp_path: Path, store: str) -> None:
    with acting_hub() as hub:
        hub.then(falls_silent)
        environment = {"CHROMA_BASE": hub.base, "QDRANT_BASE": hub.base, "AIHUB_PATIENCE": "1"}
        with own("api_adapter", environment, tmp_path) as base:
            told = ask(f"{base}/vectors/search", {"collection": "docs", "query": "x", "store": store})
    assert (told.status, told.json["service"]) == (504, store)


def test_settings_that_are_wrong_end_it_at_once_and_all_are_told(tmp_path: Path) -> None:
    python = programs("api-adapter") / "python"
    words = [python, ROOT / "services/web_service/run.py", "services.api_adapter", "--port", str(closed_port())]
    environment = {"OLLAMA_BASE": "nonsense", "AIHUB_VECTOR_STORE": "x"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "OLLAMA_BASE: 'nonsense'" in done.stderr
    assert "AIHUB_VECTOR_STORE: 'x'" in done.stderr


def test_qdrants_store_keeps_finds_and_forgets_by_its_own_client() -> None:
    done = subprocess.run(
        [programs("api-adapter") / "python", ROOT / "tests" / "support" / "programs" / "qdrant_in_memory.py", ROOT],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all of it holds"
