"""The translators: each database's words, and those of the lists of models."""

from __future__ import annotations

import math
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api_adapter.translate import chroma, qdrant
from services.api_adapter.translate.models import Listed, Speaker, merged, read, speakers
from services.api_adapter.vectors import Collection, Condition, Embedded, Filter, Hit, Metric, Op

YEAR = Condition("year", Op.GTE, 2020)
LANG = Condition("lang", Op.EQ, "en")
KINDS = Condition("kind", Op.IN, ("a", "b"))


@pytest.mark.parametrize(
    ("wanted", "clause"),
    [
        ((), None),
        ((LANG,), {"lang": {"$eq": "en"}}),
        ((LANG, YEAR), {"$and": [{"lang": {"$eq": "en"}}, {"year": {"$gte": 2020}}]}),
        ((KINDS,), {"kind": {"$in": ["a", "b"]}}),
    ],
)
def test_chroma_is_asked_in_its_words(wanted: Filter, clause: object) -> None:
    assert chroma.where(wanted) == clause


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        ((), None),
        ((LANG,), {"must": [{"key": "metadata.lang", "match": {"value": "en"}}]}),
        ((YEAR,), {"must": [{"key": "metadata.year", "range": {"gte": 2020}}]}),
        ((KINDS,), {"must": [{"key": "metadata.kind", "match": {"any": ["a", "b"]}}]}),
        ((Condition("x", Op.EQ, 0.5),), {"must": [{"key": "metadata.x", "range": {"gte": 0.5, "lte": 0.5}}]}),
        ((Condition("a.b", Op.EQ, 1),), {"must": [{"key": 'metadata."a.b"', "match": {"value": 1}}]}),
        (
            (Condition("x", Op.IN, (True,)),),
            {"must": [{"should": [{"key": "metadata.x", "match": {"value": True}}]}]},
        ),
        ((Condition("x", Op.NE, 1),), {"must_not": [{"key": "metadata.x", "match": {"value": 1}}]}),
        (
            (Condition("x", Op.IN, (0.5, 1.5)),),
            {
                "must": [
                    {
                        "should": [
                            {"key": "metadata.x", "range": {"gte": 0.5, "lte": 0.5}},
                            {"key": "metadata.x", "range": {"gte": 1.5, "lte": 1.5}},
                        ]
                    }
                ]
            },
        ),
    ],
)
def test_qdrant_is_asked_in_its_words(wanted: Filter, asked: object) -> None:
    assert qdrant.condition(wanted) == asked


@given(st.floats(min_value=0, max_value=1e6), st.floats(min_value=0, max_value=1e6), st.sampled_from(list(Metric)))
def test_chromas_nearer_hit_never_scores_less(one: float, other: float, metric: Metric) -> None:
    near, far = sorted((one, other))
    assert chroma.score(near, metric) >= chroma.score(far, metric)


def test_scores_are_what_their_metric_says() -> None:
    assert chroma.score(0.0, Metric.COSINE) == 1.0
    assert chroma.score(4.0, Metric.EUCLID) == pytest.approx(1 / 3)  # the square of a distance of 2
    assert chroma.score(-2.0, Metric.DOT) == 3.0
    assert qdrant.score(2.0, Metric.EUCLID) == pytest.approx(1 / 3)
    assert qdrant.score(0.25, Metric.COSINE) == 0.25


def test_chromas_reply_becomes_hits_also_without_texts_or_metadata() -> None:
    reply = {
        "ids": [["a", "b"]],
        "distances": [[0.0, 0.5]],
        "documents": [["t", None]],
        "metadatas": [[None, {"y": 1}]],
    }
    assert chroma.hits(reply, Metric.COSINE) == [Hit("a", 1.0, "t", {}), Hit("b", 0.5, "", {"y": 1})]
    bare = {"ids": [["a"]], "distances": [[1.0]], "documents": None}
    assert chroma.hits(bare, Metric.COSINE) == [Hit("a", 0.0, "", {})]


def test_a_collection_of_chromas_tells_what_it_was_made_with() -> None:
    configuration, metadata = chroma.settings(Collection("docs", embedding="tiny", dimension=64))
    assert chroma.collection("docs", configuration, metadata) == Collection("docs", Metric.COSINE, "tiny", 64)
    assert chroma.collection("old", {}, {"hnsw:space": "ip"}) == Collection("old", Metric.DOT)
    assert chroma.collection("old", {}, None).metric is Metric.EUCLID, "what Chroma itself takes where nothing is said"
    assert chroma.collection("new", {"spann": {"space": "cosine"}}, {}).metric is Metric.COSINE
    assert chroma.collection("odd", {"hnsw": {"space": "?"}}, {}).metric is Metric.OTHER
    assert chroma.settings(Collection("bare"))[1] == {}


def test_a_collection_of_qdrants_tells_what_it_was_made_with() -> None:
    vectors = {"size": 64, "distance": "Cosine"}
    found = qdrant.collection("docs", vectors, {qdrant.EMBEDDING_KEY: "tiny"})
    assert found == Collection("docs", Metric.COSINE, "tiny", 64)
    named = {"text": {"size": 4, "distance": "Dot"}}
    assert qdrant.collection("several", named, None) == Collection("several", Metric.OTHER)
    assert qdrant.collection("sparse", None, None) == Collection("sparse", Metric.OTHER)


def test_a_point_keeps_its_own_name_and_what_langchain_would_read() -> None:
    point = qdrant.point(Embedded("my id", "text", (1.0, 2.0), {"y": 1}))
    assert point["payload"] == {"page_content": "text", "metadata": {"y": 1}, "aihub_id": "my id"}
    assert str(UUID(point["id"])) == point["id"]
    assert qdrant.hit(point["id"], 0.5, point["payload"], Metric.COSINE) == Hit("my id", 0.5, "text", {"y": 1})


_UUIDS = st.uuids().flatmap(lambda one: st.sampled_from([str(one), str(one).upper(), f"{{{one}}}", one.hex]))


@given(st.text(min_size=1) | _UUIDS, st.text(min_size=1) | _UUIDS)
def test_every_name_becomes_one_uuid_of_its_own(one: str, other: str) -> None:
    assert str(UUID(qdrant.point_id(one))) == qdrant.point_id(one)
    assert (qdrant.point_id(one) == qdrant.point_id(other)) == (one == other)


def test_forms_of_one_uuid_are_names_of_their_own() -> None:
    plain = "5b0ee9b8-41ee-4b3c-9d86-3e2a9f5f0c11"
    assert qdrant.point_id(plain) == plain
    assert len({qdrant.point_id(form) for form in (plain, plain.upper(), f"{{{plain}}}", UUID(plain).hex)}) == 4


def test_points_of_others_are_read_as_far_as_they_go() -> None:
    assert qdrant.hit(7, 0.1, {"text": "t", "y": 1}, Metric.DOT) == Hit("7", 0.1, "t", {"y": 1})
    assert qdrant.hit(7, 0.1, None, Metric.DOT) == Hit("7", 0.1, "", {})
    assert math.isfinite(qdrant.hit(7, math.nan, None, Metric.DOT).score), "JSON knows no such number"


def test_who_speaks_openais_api_is_read_from_one_line() -> None:
    ollama, llama = speakers("ollama=http://ollama:11434/v1\n llama=http://llama:8080/v1/#a,b")
    assert ollama == Speaker("ollama", "http://ollama:11434/v1")
    assert llama == Speaker("llama", "http://llama:8080/v1", ("a", "b"))
    assert llama.path == "/api/llama/v1"
    assert speakers("") == ()


@pytest.mark.parametrize("text", ["ollama", "=http://x/v1", "ollama=ftp://x", "ollama=http:///v1", "a=http://a b"])
def test_a_word_that_names_nobody_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=http://HOST:PORT/v1"):
        speakers(text)


def test_models_of_all_services_are_one_list_and_no_service_is_lost() -> None:
    awake = Listed(Speaker("ollama", "http://o/v1"), "ready", ({"id": "tiny", "owned_by": "library", "created": 3},))
    named = Listed(Speaker("llama", "http://l/v1", ("llama",)), "asleep")
    gone = Listed(Speaker("vllm", "http://v/v1"), "unreachable", None, "refused")
    told = merged([awake, named, gone])
    assert told["object"] == "list"
    first, second = told["data"]
    assert (first["id"], first["service"], first["path"], first["state"]) == (
        "tiny",
        "ollama",
        "/api/ollama/v1",
        "ready",
    )
    assert (first["created"], first["owned_by"], first["object"]) == (3, "library", "model")
    assert (second["id"], second["owned_by"], second["state"]) == ("llama", "llama", "asleep")
    assert told["services"]["vllm"] == {"state": "unreachable", "path": "/api/vllm/v1", "trouble": "refused"}
    assert told["services"]["ollama"]["models"] == 1


def test_a_model_that_is_named_and_served_is_there_once() -> None:
    listed = Listed(Speaker("llama", "http://l/v1", ("llama", "extra")), "ready", ({"id": "llama", "created": 9},))
    assert [(one["id"], one["created"]) for one in merged([listed])["data"]] == [("llama", 9), ("extra", 0)]


def test_what_is_no_list_of_models_is_told() -> None:
    assert read({"object": "list", "data": None}) == ()
    assert read({"data": [{"id": "a"}]}) == ({"id": "a"},)
    for wrong in ({}, [], {"data": [1]}, {"data": [{"name": "a"}]}, {"data": "a"}):
        with pytest.raises(ValueError, match="its reply is no"):
            read(wrong)
