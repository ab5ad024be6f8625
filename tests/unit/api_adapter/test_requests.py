"""Bodies, the choice of models, settings, and what failures of others become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.api_adapter import bodies, settings
from services.api_adapter.choosing import dimension_of, model_for
from services.api_adapter.vectors import Collection, Condition, Op, StoreName
from services.web_service.answers import UpstreamFailed, answered, is_of_others, problem_of
from services.web_service.problems import Problem, Refused
from services.web_service.settings import SettingFault

SEARCH = {"collection": "docs", "query": "what?"}
UPSERT = {"collection": "docs", "items": [{"text": "a"}]}


def refused(call: Any, document: object) -> Problem:
    with pytest.raises(Refused) as caught:
        call(document if isinstance(document, bytes) else json.dumps(document).encode())
    return caught.value.problem


def test_a_search_is_read_with_all_that_it_may_say() -> None:
    whole = {
        **SEARCH,
        "k": 7,
        "store": "qdrant",
        "model": "m",
        "filter": {"lang": "en", "year": {"$gte": 2000, "$lt": 2010}},
    }
    found = bodies.search(json.dumps(whole).encode())
    assert (found.collection, found.query, found.k, found.store, found.model) == (
        "docs",
        "what?",
        7,
        StoreName.QDRANT,
        "m",
    )
    assert found.wanted == (
        Condition("lang", Op.EQ, "en"),
        Condition("year", Op.GTE, 2000),
        Condition("year", Op.LT, 2010),
    )
    assert bodies.search(b'{"collection": "docs", "vector": [1, 2.5]}').vector == [1.0, 2.5]


@pytest.mark.parametrize(
    ("change", "field", "remedy"),
    [
        ({"k": 0}, "k", "k has to be a whole number from 1 to 200"),
        ({"k": "5"}, "k", "k has to be a whole number from 1 to 200"),
        ({"query": ""}, "query", "query has to be a text that is not empty"),
        ({"collection": "a"}, "collection", "collection has to be a name of 3 to 63 letters"),
        ({"collection": "../etc"}, "collection", "collection has to be a name"),
        ({"collection": "a..b"}, "collection", "without two dots in a row"),
        ({"collection": "1.2.3.4"}, "collection", "no IPv4 address"),
        ({"store": "pinecone"}, "store", "one of chroma, qdrant"),
        ({"K": 5}, "K", "leave it out"),
        ({"vector": [1.0]}, "query", "send either"),
        ({"query": None}, "query", "send either"),
        ({"query": None, "vector": []}, "vector", "vector has to be a list of 1 to 65536 finite numbers"),
        ({"query": None, "vector": [1, "2"]}, "vector.1", "vector.1 has to be a list of 1 to 65536 finite numbers"),
        ({"query": None, "vector": [1, 1e39]}, "vector.1", "finite numbers of 32 bits"),
        ({"query": None, "vector": [10**400]}, "vector.0", "finite numbers of 32 bits"),
        ({"filter": {"a": None}}, "filter.a", "send a text"),
        ({"filter": {"a": 2**63}}, "filter.a", "within 64 bits"),
        ({"filter": {"a": {"$gt": -(2**63) - 1}}}, "filter.a.$gt", "within 64 bits"),
        ({"filter": {"a": {"$in": [1, 2**64]}}}, "filter.a.$in.1", "within 64 bits"),
        ({"filter": {"a": float("inf")}}, "filter.a", "a finite number"),
        ({"filter": {"a": "\ud800"}}, "filter.a", "whole characters"),
        ({"filter": {"\udfff": 1}}, "filter.\udfff", "whole characters"),
        ({"filter": {"": 1}}, "filter.", "a key is not empty"),
        ({"filter": {"#document": "x"}}, "filter.#document", "neither $ nor #"),
        ({"filter": {'a"b': 1}}, 'filter.a"b', "under another key"),
        ({"filter": {f"k{n}": {"$in": [*range(500)]} for n in range(64)}}, "filter", "at most 8000"),
        ({"filter": {"a": {"$regex": "x"}}}, "filter.a.$regex", "use one of $eq"),
        ({"filter": {"a": {"$gt": "x"}}}, "filter.a.$gt", "send a number"),
        ({"filter": {"a": {"$in": []}}}, "filter.a.$in", "at least one"),
        ({"filter": {"a": {"$in": [1, "b"]}}}, "filter.a.$in", "one kind"),
        ({"filter": {"a": {}}}, "filter.a", "use one of"),
        ({"filter": {"$or": []}}, "filter.$or", 'such as {"lang": "en"}'),
    ],
)
def test_what_a_search_may_not_say_is_told_with_field_and_remedy(
    change: dict[str, object], field: str, remedy: str
) -> None:
    problem = refused(bodies.search, {**SEARCH, **change})
    assert (problem.status, problem.field) == (400, field)
    assert problem.remedy is not None
    assert remedy in problem.remedy
    assert field in problem.detail


def test_an_operator_says_what_a_plain_value_means_too() -> None:
    body = {**SEARCH, "filter": {"a": {"$eq": "x"}, "b": {"$ne": True}, "c": {"$in": [1, 2]}}}
    assert bodies.search(json.dumps(body).encode()).wanted == (
        Condition("a", Op.EQ, "x"),
        Condition("b", Op.NE, True),
        Condition("c", Op.IN, (1, 2)),
    )


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"7", b"[" * 100_000])
def test_what_is_no_object_is_told(body: bytes) -> None:
    assert refused(bodies.search, body).status == 400


def test_not_a_number_is_no_number() -> None:
    assert refused(bodies.search, b'{"collection": "docs", "vector": [NaN]}').field == "vector.0"


def test_an_item_without_a_name_gets_the_one_that_its_text_gives_it() -> None:
    first = bodies.upsert(json.dumps(UPSERT).encode())
    assert first == bodies.upsert(json.dumps(UPSERT).encode())
    other = bodies.upsert(b'{"collection": "docs", "items": [{"text": "b"}]}')
    assert first.items[0].id != other.items[0].id


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([], "items"),
        ([{"text": ""}], "items.0.text"),
        ([{}], "items.0.text"),
        ([{"text": "a"}, {"text": "a"}], "items.1.id"),
        ([{"id": "x", "text": "a"}, {"id": "x", "text": "b"}], "items.1.id"),
        ([{"text": "a", "metadata": {"tags": ["x"]}}], "items.0.metadata.tags"),
        ([{"text": "a"}] * 1001, "items"),
        ([{"text": "a"}, {"text": "b", "metadata": {"n": 2**63}}], "items.1.metadata.n"),
        ([{"text": "a", "metadata": {"n": -(2**63) - 1}}], "items.0.metadata.n"),
        ([{"text": "a", "metadata": {"n": float("nan")}}], "items.0.metadata.n"),
        ([{"text": "a", "metadata": {"n": float("-inf")}}], "items.0.metadata.n"),
        ([{"text": "a", "metadata": {"n": "\ud800"}}], "items.0.metadata.n"),
        ([{"text": "a", "metadata": {"n": None}}], "items.0.metadata.n"),
        ([{"text": "a", "metadata": {"\ud800": "n"}}], "items.0.metadata.\ud800"),
        ([{"text": "a", "metadata": {"": 1}}], "items.0.metadata."),
        ([{"text": "a", "metadata": {"$k": 1}}], "items.0.metadata.$k"),
        ([{"text": "a", "metadata": {"#type": "sparse_vector"}}], "items.0.metadata.#type"),
        ([{"text": "a", "metadata": {"chroma:document": "b"}}], "items.0.metadata.chroma:document"),
        ([{"text": "\ud800"}], "items.0.text"),
        ([{"text": "a", "id": "\udfff"}], "items.0.id"),
        ([{"text": "a", "vector": [1e39]}], "items.0.vector.0"),
    ],
)
def test_what_items_may_not_be_is_told_with_its_place(items: list[object], field: str) -> None:
    problem = refused(bodies.upsert, {"collection": "docs", "items": items})
    assert problem.field == field
    assert problem.remedy


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 1.7e308, 5e-324, "\0", "", True, "\U0001f600"])
def test_what_every_store_keeps_is_let_through(value: object) -> None:
    body = {"collection": "docs", "items": [{"text": "a", "metadata": {"my key.é[0]": value}}]}
    assert bodies.upsert(json.dumps(body).encode()).items[0].metadata == {"my key.é[0]": value}
    asked = bodies.search(json.dumps({**SEARCH, "filter": {"my key.é[0]": value}}).encode())
    assert [one.value for one in asked.wanted] == [value]
    numbers = [3.4028234663852886e38, -3.4028234663852886e38, 2**70]
    assert bodies.search(json.dumps({"collection": "docs", "vector": numbers}).encode()).vector == numbers


def test_a_problem_is_a_document_without_empty_fields_and_with_short_values() -> None:
    problem = Problem(400, "bad-request", "no", "k", "x" * 1000, retry_after=3)
    document = problem.document()
    assert (document["type"], document["title"], document["status"]) == (
        "urn:aihub:problem:bad-request",
        "bad request",
        400,
    )
    assert len(document["value"]) < 200
    assert "remedy" not in document
    assert problem.headers() == {"Retry-After": "3"}


MADE = Collection("docs", embedding="tiny", dimension=3)


def test_a_collection_keeps_to_the_model_it_was_made_with() -> None:
    assert model_for(None, None, "usual") == "usual"
    assert model_for(None, "asked", "usual") == "asked"
    assert model_for(MADE, None, "usual") == "tiny"
    assert model_for(MADE, "tiny:latest", "usual") == "tiny"
    with pytest.raises(Refused, match="was made with tiny"):
        model_for(MADE, "other", "usual")
    with pytest.raises(Refused, match="nobody has said"):
        model_for(Collection("docs"), None, "usual")
    assert model_for(Collection("docs"), "asked", "usual") == "asked"


def test_vectors_have_the_size_of_their_collection() -> None:
    assert dimension_of([("a", [1.0, 2.0]), ("b", [3.0, 4.0])], None) == 2
    assert dimension_of([("a", [1.0, 2.0, 3.0])], MADE) == 3
    with pytest.raises(Refused, match="b: 1 numbers, but the first one has 2"):
        dimension_of([("a", [1.0, 2.0]), ("b", [3.0])], None)
    with pytest.raises(Refused, match="vectors of docs have 3"):
        dimension_of([("a", [1.0])], MADE)


def test_settings_come_from_the_environment_and_each_fault_is_told() -> None:
    assert settings.read({}) == settings.Settings()
    assert settings.read({"AIHUB_LARGEST_BODY": "2048"}).largest == 2048
    with pytest.raises(SettingFault, match="'soon' is no number of seconds"):
        settings.read({"AIHUB_PATIENCE": "soon"})
    given = {"OLLAMA_BASE": "http://o:1/", "AIHUB_VECTOR_STORE": "qdrant", "AIHUB_PATIENCE": "5", "CHROMA_BASE": " "}
    found = settings.read(given)
    assert (found.ollama, found.store, found.patience, found.chroma) == (
        "http://o:1",
        StoreName.QDRANT,
        5.0,
        "http://chroma:8000",
    )
    wrong = {
        "OLLAMA_BASE": "ollama:1",
        "AIHUB_VECTOR_STORE": "x",
        "AIHUB_PATIENCE": "0",
        "AIHUB_LARGEST_BODY": "-1",
        "AIHUB_MODEL_SERVICES": "x",
    }
    with pytest.raises(SettingFault) as fault:
        settings.read(wrong)
    assert [line.partition(":")[0] for line in str(fault.value).splitlines()] == [
        "OLLAMA_BASE",
        "AIHUB_VECTOR_STORE",
        "AIHUB_MODEL_SERVICES",
        "AIHUB_PATIENCE",
        "AIHUB_LARGEST_BODY",
    ]


def test_the_gates_refusal_is_passed_on_with_its_time() -> None:
    body = json.dumps({"error": {"code": "waiting", "message": "chroma is being installed"}})
    problem = answered(503, {"x-hub-state": "installing", "retry-after": "4.2"}, body, "chroma")
    assert (problem.status, problem.code, problem.retry_after) == (503, "not-awake", 5)
    assert problem.detail == "chroma is being installed"


@pytest.mark.parametrize(
    ("status", "body", "wanted", "told"),
    [
        (404, '{"error": "model \\"nope\\" not found"}', 404, "ollama pull nope"),
        (400, '{"error": "does not support tools"}', 400, "does not support tools"),
        (429, '{"status": {"error": "slow down"}}', 429, "slow down"),
        (503, "busy", 503, "busy"),
        (500, "", 502, "answered 500"),
        (418, '{"detail": "tea"}', 502, "tea"),
        (422, '{"error": "InvalidArgumentError", "message": "no such unit"}', 422, "no such unit"),
        (500, "[1]", 502, "answered 500"),
    ],
)
def test_answers_of_others_become_problems(status: int, body: str, wanted: int, told: str) -> None:
    problem = answered(status, {"retry-after": "soon"}, body, "ollama")
    assert problem.status == wanted
    assert told in f"{problem.detail} {problem.remedy}"
    assert problem.retry_after is None


@pytest.mark.parametrize(
    ("status", "body", "wanted", "told"),
    [
        (404, '{"status": {"error": "Not found: Collection `docs`"}}', 404, "Collection `docs`"),
        (404, '{"error": "NotFoundError", "message": "Collection [docs] does not exist"}', 404, "[docs]"),
        (404, "404 page not found", 502, "page not found"),
        (404, '{"detail": "Not Found"}', 502, "Not Found"),
        (404, "[1]", 502, "answered 404"),
    ],
)
def test_a_store_that_has_no_such_thing_is_told_from_a_server_that_has_no_such_path(
    status: int, body: str, wanted: int, told: str
) -> None:
    problem = answered(status, {}, body, "chroma")
    assert problem.status == wanted
    assert told in problem.detail


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429])
def test_chromas_refusal_is_found_in_its_clients_exception(status: int) -> None:
    kind = type("InvalidArgumentError", (Exception,), {"__module__": "chromadb.errors", "code": lambda _: status})
    problem = problem_of(kind("no such operator"), "chroma")
    assert (problem.status, problem.detail, problem.service) == (status, "chroma: no such operator", "chroma")


class _Answer(Exception):
    def __init__(self, status: int) -> None:
        super().__init__("wrapped")
        self.response = self
        self.status_code = status
        self.headers = {"retry-after": "2", "x-hub-state": "asleep"}
        self.content = b'{"error": {"message": "asleep"}}'


def test_an_answer_is_found_however_deep_a_client_has_buried_it() -> None:
    try:
        try:
            raise _Answer(503)
        except _Answer:
            raise RuntimeError("a client's own words") from None
    except RuntimeError as error:
        problem = problem_of(error, "chroma")
    assert (problem.status, problem.detail, problem.retry_after) == (503, "asleep", 2)

    class Wrapping(Exception):
        source = _Answer(503)

    assert problem_of(Wrapping(), "qdrant").status == 503


def test_silence_a_closed_door_and_the_unforeseen_are_told_apart() -> None:
    assert problem_of(TimeoutError(), "chroma").status == 504
    assert problem_of(ConnectionRefusedError("refused"), "chroma").code == "unreachable"
    assert problem_of(ValueError("odd"), "chroma").detail == "chroma: odd"
    assert str(UpstreamFailed("chroma")) == "chroma"


def test_a_fault_of_our_own_is_not_told_as_somebody_elses() -> None:
    assert not is_of_others(KeyError("x"))
    assert is_of_others(ConnectionRefusedError())
    assert is_of_others(TimeoutError())
    wrapped = ValueError("of a library between")
    wrapped.__context__ = type("ResponseError", (Exception,), {"__module__": "ollama._types"})()
    assert is_of_others(wrapped)
