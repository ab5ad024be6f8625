"""Documents in binary say what the same documents say in JSON, and parts are translated once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from services.catalog.addresses import Edge
from services.catalog.model import Catalog, Port, Protocol, Publish, Service, Source, Wake
from services.scaler.mesh.config.clusters import cds
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.kept import Kept
from services.scaler.mesh.config.own_routes import rds_own
from services.scaler.mesh.config.routes import rds
from services.scaler.mesh.config.wire import encode

PLACE = Place(
    Edge("0.0.0.0", 8000), "/f", "/f/gate", "/f/check", "/f/ads", "/f/admin", "/f/envoy-admin", domain="box.lan"
)
PORTS = (Port("main", 1), Port("grpc", 2, Protocol.H2C), Port("db", 3, Protocol.TCP))
PUBLISHES = (Publish("main", "127.0.0.1", 21001), Publish("grpc", "0.0.0.0", 21002), Publish("db", "127.0.0.1", 21003))
WAKE = Wake(ignore_paths=("/metrics",), ignore_agents=("Mine/",))
QDRANT = Service("qdrant", ports=PORTS, publishes=PUBLISHES, path="/api/qdrant", web=True, health="/health", wake=WAKE)
INNER = Service("inner", ports=(Port("main", 4),), path="/api/qdrant/inner")
CATALOG = Catalog({"qdrant": QDRANT, "inner": INNER})


def documents(catalog: Catalog, kept: Kept | None = None) -> list[Json]:
    return [cds(catalog, kept), rds(catalog, PLACE, kept), rds_own(catalog, PLACE, kept)]


def test_binary_says_what_the_json_says() -> None:
    for document in documents(CATALOG):
        read = discovery_pb2.DiscoveryResponse.FromString(encode(document))
        meant = json_format.ParseDict(document, discovery_pb2.DiscoveryResponse())
        assert json_format.MessageToDict(read) == json_format.MessageToDict(meant)
        assert len(read.resources) == len(document["resources"])


def test_the_same_catalogue_gives_the_same_bytes_whatever_was_kept() -> None:
    kept = Kept()
    first = [encode(document) for document in documents(CATALOG, kept)]
    assert [encode(document) for document in documents(CATALOG, kept)] == first
    assert [encode(document) for document in documents(CATALOG)] == first


@pytest.mark.parametrize(
    "changed",
    [
        replace(QDRANT, path="/api/other"),
        replace(QDRANT, web=False),
        replace(QDRANT, health="tcp"),
        replace(QDRANT, ports=(replace(PORTS[0], protocol=Protocol.H2C), *PORTS[1:])),
        replace(QDRANT, publishes=PUBLISHES[:1]),
        replace(QDRANT, wake=replace(WAKE, ignore_paths=("/other",))),
        replace(QDRANT, wake=replace(WAKE, ignore_agents=())),
    ],
)
def test_a_changed_service_is_made_anew_and_what_leads_into_it_too(changed: Service) -> None:
    kept = Kept()
    documents(CATALOG, kept)
    after = Catalog({"qdrant": changed, "inner": INNER})
    assert [encode(d) for d in documents(after, kept)] == [encode(d) for d in documents(after)]


def test_what_is_kept_stays_the_same_object_while_only_its_line_changes() -> None:
    kept = Kept()
    moved = replace(QDRANT, source=Source("/other.yml", 7))
    first = cds(Catalog({"qdrant": QDRANT}), kept)["resources"]
    assert all(
        one is other for one, other in zip(first, cds(Catalog({"qdrant": moved}), kept)["resources"], strict=True)
    )


def test_services_that_are_no_more_are_let_go_of() -> None:
    kept, made = Kept(), iter("ab")
    assert kept.of(QDRANT, "x", lambda: next(made)) == "a"
    assert kept.of(QDRANT, "x", lambda: next(made)) == "a"
    kept.forget_others({"inner"})
    assert kept.of(QDRANT, "x", lambda: next(made)) == "b"


def test_what_holds_anyway_is_present_when_it_is_said() -> None:
    cluster: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "connect_timeout": "0s",
        "outlier_detection": {"enforcing_consecutive_5xx": 0},
        "eds_cluster_config": {"eds_config": {"ads": {}}},
    }
    read = cluster_pb2.Cluster()
    discovery_pb2.DiscoveryResponse.FromString(encode({"resources": [cluster]})).resources[0].Unpack(read)
    assert read.HasField("connect_timeout")
    assert read.outlier_detection.HasField("enforcing_consecutive_5xx")
    assert read.eds_cluster_config.eds_config.HasField("ads")


@pytest.mark.parametrize("wrong", [{"no_such_field": 1}, {"type": "NO_SUCH_WORD"}])
def test_what_is_not_known_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        encode({"resources": [{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", **wrong}]})
    with pytest.raises(KeyError):
        encode({"resources": [{"@type": "type.googleapis.com/no.such.Message"}]})


def test_the_edge_has_one_table_of_routes() -> None:
    (packed,) = discovery_pb2.DiscoveryResponse.FromString(encode(rds(CATALOG, PLACE))).resources
    table = route_pb2.RouteConfiguration()
    assert packed.Unpack(table)
    assert table.name == "edge"
