import pytest

from services.catalog.addresses import Edge, addresses, all_addresses
from services.catalog.model import Catalog, Port, Publish, Service
from services.catalog.rewrite import rewrite_urls

OLLAMA = Service(
    "ollama", ports=(Port("main", 11434),), publishes=(Publish("main", "127.0.0.1", 21434),), path="/api/ollama"
)
QDRANT = Service(
    "qdrant",
    ports=(Port("main", 6333), Port("grpc", 6334), Port("raft", 6335)),
    publishes=(Publish("grpc", "0.0.0.0", 26334),),
    path="/api/qdrant",
)
SITE = Service("site", ports=(Port("main", 80),), path="/api/site")
CATALOG = Catalog(services={s.name: s for s in (OLLAMA, QDRANT, SITE)})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://ollama:11434", "http://127.0.0.1:21434"),
        ("http://ollama:11434/v1?x=1", "http://127.0.0.1:21434/v1?x=1"),
        ("ws://ollama:11434/ws", "ws://127.0.0.1:21434/ws"),
        ("http://u:p@ollama:11434/v1", "http://u:p@127.0.0.1:21434/v1"),
        ("http://qdrant:6333/collections", "http://127.0.0.1:8000/api/qdrant/collections"),
        ("http://qdrant:6334", "http://127.0.0.1:26334"),
        ("http://site/a,http://ollama:11434", "http://127.0.0.1:8000/api/site/a,http://127.0.0.1:21434"),
        ('{"url": "http://ollama:11434"}', '{"url": "http://127.0.0.1:21434"}'),
    ],
)
def test_addresses_of_services_become_local(value: str, expected: str) -> None:
    assert rewrite_urls({"X": value}, CATALOG, all_addresses(CATALOG, Edge())) == {"X": expected}


@pytest.mark.parametrize(
    "value",
    [
        "http://ollama.example.org:11434",
        "http://ollama-2:11434",
        "http://ollama:114345",
        "http://ollama:9",
        "http://qdrant:6335",
        "http://ollama",
        "https://ollama:11434",
        "postgres://ollama:11434",
        "xhttp://ollama:11434",
        "ollama:11434",
    ],
)
def test_what_is_no_address_of_a_service_stays(value: str) -> None:
    assert rewrite_urls({"X": value}, CATALOG, all_addresses(CATALOG, Edge())) == {"X": value}


def test_rewriting_twice_changes_nothing_more() -> None:
    where = all_addresses(CATALOG, Edge())
    once = rewrite_urls({"X": "http://qdrant:6333 http://ollama:11434"}, CATALOG, where)
    assert rewrite_urls(once, CATALOG, where) == once


@pytest.mark.parametrize(
    ("host", "shown"),
    [("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("127.0.0.2", "127.0.0.2")],
)
def test_an_own_address_is_one_at_which_this_machine_finds_it(host: str, shown: str) -> None:
    service = Service("svc", ports=(Port("main", 80),), publishes=(Publish("main", host, 7000),))
    assert addresses(service, Edge()).own == f"http://{shown}:7000"
