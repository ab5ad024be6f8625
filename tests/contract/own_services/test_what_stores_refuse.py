"""What a caller may send that a store does not take: it is told as the caller's fault, and what both take works.

Chroma is a real server. Qdrant is its own client in memory, which holds to the server's words and not to its limits.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.acting_hub import acting_hub, says
from tests.support.asking import Told, ask
from tests.support.own_services import own, running
from tests.support.ports import free_port
from tests.support.service_env import ROOT, programs

pytestmark = [pytest.mark.process, pytest.mark.network]

PROGRAM = ROOT / "tests" / "support" / "programs" / "adapter_over_qdrant_in_memory.py"
ODD_KEYS = ("my key", "a.b", "a[0]", "a[]", ".", "é", "\0", "chroma:x", "k" * 10_000, "'", "\\", "😀", " ")


@pytest.fixture(scope="module")
def both(chroma: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    words = [programs("api-adapter") / "python", PROGRAM, ROOT, chroma, port]
    with running(words, port, tmp_path_factory.mktemp("both"), {}, "/healthz") as base:
        yield base


@pytest.fixture(params=["chroma", "qdrant"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def search(both: str, store: str, **more: object) -> Told:
    return ask(f"{both}/vectors/search", {"store": store, "collection": "docs", "vector": [1.0, 0.5], **more})


def keep(both: str, store: str, *items: dict[str, object], **more: object) -> Told:
    sent = [{"text": "t", "vector": [1.0, 0.5], **item} for item in items]
    return ask(f"{both}/vectors/upsert", {"store": store, "collection": "docs", "items": sent, **more})


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"metadata": {"n": 2**63}}, "items.0.metadata.n"),
        ({"metadata": {"n": 2**70}}, "items.0.metadata.n"),
        ({"metadata": {"n": "\ud800"}}, "items.0.metadata.n"),
        ({"metadata": {"": 1}}, "items.0.metadata."),
        ({"metadata": {"#document": "x"}}, "items.0.metadata.#document"),
        ({"metadata": {"$and": "x"}}, "items.0.metadata.$and"),
        ({"metadata": {"chroma:document": "x"}}, "items.0.metadata.chroma:document"),
        ({"vector": [1e39, 0]}, "items.0.vector.0"),
        ({"vector": [float("nan"), 0]}, "items.0.vector.0"),
    ],
)
def test_an_item_that_one_store_would_not_take_is_refused_for_both_and_its_place_told(
    both: str, store: str, more: dict[str, object], field: str
) -> None:
    told = keep(both, store, more)
    assert (told.status, told.headers["content-type"]) == (400, "application/problem+json")
    assert (told.json["field"], "remedy" in told.json) == (field, True)


@pytest.mark.parametrize("name", ["a..b", "1.2.3.4", "255.255.255.255"])
def test_a_name_that_one_store_would_not_take_is_refused_for_both(both: str, store: str, name: str) -> None:
    for told in (keep(both, store, {}, collection=name), search(both, store, collection=name)):
        assert (told.status, told.json["field"], told.json["value"]) == (400, "collection", name)
        assert "no IPv4 address" in told.json["remedy"]


@pytest.mark.parametrize("name", ["999.999.999.999", "a.-_.b", "by-id", "a" * 63, "1.2.3"])
def test_an_odd_name_that_both_take_works(both: str, store: str, name: str) -> None:
    assert keep(both, store, {}, collection=name).status == 200
    assert search(both, store, collection=name).status == 200
    assert ask(f"{both}/vectors/collections/{name}?store={store}", method="DELETE").status == 204


def test_whatever_a_key_is_called_its_value_is_found_by_it(both: str, store: str) -> None:
    assert keep(both, store, {"id": "odd", "metadata": dict.fromkeys(ODD_KEYS, 1)}, {"id": "other"}).status == 200
    for key in ODD_KEYS:
        told = search(both, store, filter={key: 1})
        assert told.status == 200, told.text
        assert [hit["id"] for hit in told.json["results"]] == ["odd"], key


def test_values_at_the_edge_of_what_is_kept_are_found_again(both: str, store: str) -> None:
    values: list[Any] = [2**63 - 1, -(2**63), 1.7e308, True, "", "\0", "😀"]
    items = [{"id": f"i{index}", "text": f"t{index}", "metadata": {"edge": one}} for index, one in enumerate(values)]
    assert keep(both, store, *items).status == 200
    for index, value in enumerate(values):
        for wanted in (value, {"$in": [value]}):
            told = search(both, store, filter={"edge": wanted}, k=200)
            assert told.status == 200, told.text
            assert f"i{index}" in [hit["id"] for hit in told.json["results"]], value


@pytest.mark.parametrize("kind", [int, float, str])
def test_a_filter_works_up_to_the_limit_and_is_refused_above_it(both: str, store: str, kind: type) -> None:
    keep(both, store, {})
    values = [kind(number) for number in range(500)]
    for keys, status in ((16, 200), (17, 400), (64, 400)):
        told = search(both, store, filter={f"k{number}": {"$in": values} for number in range(keys)})
        assert told.status == status, told.text
    assert told.json["field"] == "filter"
    assert told.json["remedy"] == "ask for at most 8000 at once"


def test_a_size_that_only_the_store_knows_is_refused_in_its_own_words(both: str, chroma: str) -> None:
    name = f"theirs-{uuid.uuid4().hex[:8]}"
    ask(f"{chroma}/api/v2/tenants/default_tenant/databases/default_database/collections", {"name": name})
    assert keep(both, "chroma", {}, collection=name).status == 200
    told = search(both, "chroma", collection=name, vector=[1.0])
    assert (told.status, told.json["service"]) == (400, "chroma")
    assert "dimension of 2, got 1" in told.json["detail"]


@pytest.mark.parametrize("status", [400, 404, 409, 422])
@pytest.mark.parametrize(
    ("store", "refusal"),
    [
        ("chroma", {"error": "InvalidArgumentError", "message": "its own words"}),
        ("qdrant", {"status": {"error": "its own words"}, "time": 0.1}),
    ],
)
def test_each_clients_refusal_comes_through(
    tmp_path: Path, store: str, refusal: dict[str, object], status: int
) -> None:
    if store == "chroma":
        kinds = {400: "InvalidArgumentError", 404: "NotFoundError", 409: "UniqueConstraintError", 422: "?"}
        refusal = {**refusal, "error": kinds[status]}
    with acting_hub() as hub:
        hub.then(says(refusal, status))
        environment = {"OLLAMA_BASE": hub.base, "CHROMA_BASE": hub.base, "QDRANT_BASE": hub.base}
        with own("api_adapter", environment, tmp_path) as base:
            told = ask(f"{base}/vectors/collections?store={store}")
    assert (told.status, told.json["service"]) == (status, store)
    assert "its own words" in told.json["detail"]


# -- anything at all ---------------------------------------------------------------------------------------------------

TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["\ud800", "\0", "", "$and", "#id", "a.b", "😀", '"', "%", "_"]))
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([0, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30]),
    st.floats(),
    st.sampled_from([1e39, 5e-324, -0.0, 3.4028234663852886e38]),
)
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none(), st.lists(st.integers(), max_size=2))
VECTORS = st.one_of(st.lists(NUMBERS, min_size=2, max_size=2), st.lists(st.floats(width=32), min_size=2, max_size=2))
OPERATORS = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$contains"])
ASKED = st.one_of(
    SCALARS,
    st.dictionaries(OPERATORS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=2),
    st.dictionaries(st.just("$in"), st.one_of(st.lists(TEXTS), st.lists(NUMBERS), st.lists(st.booleans()))),
)
ITEMS = st.fixed_dictionaries(
    {"text": TEXTS, "vector": VECTORS}, optional={"id": TEXTS, "metadata": st.dictionaries(TEXTS, SCALARS, max_size=3)}
)
WILD = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@WILD
@given(item=ITEMS, also=ITEMS)
def test_no_item_is_told_as_a_failure_of_the_store(both: str, store: str, item: Any, also: Any) -> None:
    told = keep(both, store, item, also, collection="wild")
    assert told.status in (200, 400), told.text
    assert told.status == 200 or (told.json["field"] and told.json["remedy"])


@WILD
@given(vector=VECTORS, wanted=st.dictionaries(TEXTS, ASKED, max_size=3))
def test_no_search_is_told_as_a_failure_of_the_store(both: str, store: str, vector: Any, wanted: Any) -> None:
    keep(both, store, {"metadata": {"a": 1}}, {"text": "b", "metadata": {"a": "x"}}, collection="wild")
    told = search(both, store, collection="wild", vector=vector, filter=wanted)
    assert told.status in (200, 400), told.text
    assert told.status == 200 or (told.json["field"] and told.json["remedy"])
