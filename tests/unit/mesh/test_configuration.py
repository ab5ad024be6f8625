"""Laws of Envoy's configuration that hold for every catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.catalog.addresses import Edge
from services.catalog.model import Catalog, Local, Port, Protocol, Publish, Service
from services.scaler.mesh.config.bootstrap import bootstrap
from services.scaler.mesh.config.clusters import cds
from services.scaler.mesh.config.common import Place, socket
from services.scaler.mesh.config.listeners import lds
from services.scaler.mesh.config.own_routes import own_ports, rds_own
from services.scaler.mesh.config.routes import rds
from services.scaler.mesh.names import Lane, cluster_name, clusters_of, read_header

PLACE = Place(
    Edge("127.0.0.1", 8000), "/f", "/f/gate", "/f/check", "/f/ads", "/f/admin", "/f/envoy-admin", domain="box.lan"
)
PORTS = (Port("main", 1), Port("grpc", 2, Protocol.H2C), Port("db", 3, Protocol.TCP))
PUBLISHES = (Publish("main", "127.0.0.1", 21001), Publish("grpc", "0.0.0.0", 21002), Publish("db", "127.0.0.1", 21003))
QDRANT = Service("qdrant", ports=PORTS, publishes=PUBLISHES, path="/api/qdrant", web=True, health="/health")
QUEUE = Service("queue", ports=(Port("main", 5, Protocol.TCP),), path="/api/queue")
CATALOG = Catalog({"qdrant": QDRANT, "queue": QUEUE})


def every(key: str, document: Any) -> Iterator[Any]:
    """Values of `key` at any depth."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == key:
                yield value
            yield from every(key, value)
    elif isinstance(document, list):
        for value in document:
            yield from every(key, value)


def routes() -> list[dict[str, Any]]:
    documents = [rds(CATALOG, PLACE), rds_own(CATALOG, PLACE)]
    return [route for found in every("routes", documents) for route in found if "route" in route]


def test_every_route_to_a_service_says_which_and_overwrites_what_the_client_said() -> None:
    lazy = {name for service in CATALOG.services.values() for name in clusters_of(service)}
    seen = [route for route in routes() if route["route"]["cluster"] in lazy]
    assert seen
    for route in seen:
        target = read_header(said(route, route["route"]["cluster"]))
        assert target is not None
        cluster = route["route"]["cluster"]
        assert cluster_name(target.service, target.port, background=target.lane is not Lane.USE) == cluster
        assert route["route"]["timeout"] == "0s"
    for document in (rds(CATALOG, PLACE), rds_own(CATALOG, PLACE)):
        (table,) = document["resources"]
        assert said(table, "") == "%UPSTREAM_CLUSTER_RAW%"
        assert table["most_specific_header_mutations_wins"]


def said(level: dict[str, Any], otherwise: str) -> str:
    """What the header to the gate says by this level's word."""
    found = [h for h in level.get("request_headers_to_add", ()) if h["header"]["key"] == "x-lazy-service"]
    assert all(h["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD" for h in found)
    return next((str(h["header"]["value"]) for h in found), otherwise)


def test_a_route_of_another_protocol_or_lane_says_so_itself() -> None:
    values = {said(route, route["route"]["cluster"]) for route in routes()}
    assert {"qdrant", "qdrant~bg", "qdrant~health", "qdrant:grpc+h2c", "qdrant:grpc~bg+h2c"} <= values


def test_every_route_below_a_path_bears_the_path_as_its_name() -> None:
    (table,) = rds(CATALOG, PLACE)["resources"]
    for host in table["virtual_hosts"]:
        to_services = [
            route
            for found in every("routes", host)
            for route in found
            if route.get("route", {}).get("cluster", "hub_admin") != "hub_admin"
        ]
        below = host["name"].startswith("api")
        assert {route.get("name") for route in to_services} <= ({"/api/qdrant"} if below else {None})
        key = "request_headers_to_add" if below else "request_headers_to_remove"
        assert host["name"] in ("console", "unknown") or "x-forwarded-prefix" in str(host[key])


def test_no_route_to_the_hub_itself_lets_a_client_name_a_service() -> None:
    to_hub = [route for route in routes() if route["route"]["cluster"] == "hub_admin"]
    assert len(to_hub) >= 4
    console = [host for host in rds(CATALOG, PLACE)["resources"][0]["virtual_hosts"] if host["name"] == "console"]
    for route in to_hub:
        said = [h["header"]["key"] for h in route.get("request_headers_to_add", ())]
        taken = route.get("request_headers_to_remove", ())
        assert "x-lazy-service" in (
            *said,
            *taken,
            *(console[0]["request_headers_to_remove"] if route in console[0]["routes"] else ()),
        )


def test_every_virtual_host_retries_only_what_never_arrived() -> None:
    for document in (rds(CATALOG, PLACE), rds_own(CATALOG, PLACE)):
        (table,) = document["resources"]
        for host in table["virtual_hosts"]:
            words = "connect-failure,refused-stream,reset-before-request,retriable-headers"
            assert host["retry_policy"]["retry_on"] == words


def test_every_lazy_cluster_has_its_endpoints_from_the_scaler_and_small_buffers() -> None:
    clusters = cds(CATALOG)["resources"]
    assert [c["name"] for c in clusters] == [
        "qdrant",
        "qdrant~bg",
        "qdrant:grpc",
        "qdrant:grpc~bg",
        "qdrant:db",
        "queue",
    ]
    for cluster in clusters:
        assert cluster["type"] == "EDS"
        assert cluster["per_connection_buffer_limit_bytes"] == 65536
        assert cluster["circuit_breakers"]["thresholds"][0]["max_requests"] >= 100000


def test_the_gates_clusters_open_a_connection_per_request_and_have_patience() -> None:
    clusters = {c["name"]: c for c in bootstrap(PLACE, "n")["static_resources"]["clusters"]}
    for name in ("gate_dst", "gate_dst_h2"):
        assert list(every("max_requests_per_connection", clusters[name])) == [1]
        assert clusters[name]["connect_timeout"] == "10s"
        assert clusters[name]["per_connection_buffer_limit_bytes"] == 65536
        assert clusters[name]["circuit_breakers"]["thresholds"][0]["max_requests"] >= 100000
    assert clusters["lazyd"]["circuit_breakers"]["thresholds"][0]["max_requests"] >= 100000


def test_who_asks_for_a_service_before_envoy_has_its_cluster_is_told_to_come_again() -> None:
    managers = list(every("local_reply_config", [lds(CATALOG, PLACE), bootstrap(PLACE, "hub")]))
    for manager in managers:
        flags = [flag for found in every("response_flag_filter", manager) for flag in found["flags"]]
        assert "NC" in flags or "UF" in flags  # the gate has no cluster that comes and goes


def test_no_listener_shares_its_port_or_has_large_buffers() -> None:
    listeners = [*bootstrap(PLACE, "n")["static_resources"]["listeners"], *lds(CATALOG, PLACE)["resources"]]
    assert [listener["name"] for listener in listeners] == [
        "edge", "gate", "qdrant@127.0.0.1:21001", "qdrant:grpc@0.0.0.0:21002", "qdrant:db@127.0.0.1:21003",
    ]  # fmt: skip
    for listener in listeners:
        assert listener["per_connection_buffer_limit_bytes"] == 65536
        assert listener["name"] == "gate" or listener["enable_reuse_port"] is False


def test_no_listener_tells_a_client_507() -> None:
    """Envoy says it where a replica dies under a body that is too long to be sent again: an outage, no full disk."""
    documents = [lds(CATALOG, PLACE), bootstrap(PLACE, "hub")]
    managers = [found for found in every("typed_config", documents) if "http_filters" in found]
    assert {manager["stat_prefix"] for manager in managers} >= {"edge", "gate"}
    for manager in managers:
        shown = {
            mapper["filter"]["status_code_filter"]["comparison"]["value"]["default_value"]: mapper["status_code"]
            for mapper in manager["local_reply_config"]["mappers"]
            if "status_code_filter" in mapper["filter"]
        }
        assert shown[507] == 503


def test_nothing_but_the_edge_and_published_ports_is_a_network_socket() -> None:
    plain = bootstrap(PLACE, "n")
    assert [place["port_value"] for place in every("socket_address", plain)] == [8000]
    assert plain["admin"]["address"]["pipe"]["mode"] == 0o600


def test_ports_of_a_container_that_compose_keeps_running_are_not_the_gateways() -> None:
    """Docker publishes them; without Docker there is nothing behind them."""
    kept = replace(QDRANT, lazy=False)
    assert list(own_ports(Catalog({"qdrant": kept}))) == []
    assert len(list(own_ports(Catalog({"qdrant": replace(kept, local=Local(("qdrant",)))})))) == len(PUBLISHES)


def test_a_listener_of_a_port_says_nothing_of_what_its_service_wishes() -> None:
    """Else a deployment would replace it, and drain the connections it has."""
    other = replace(QDRANT, web=False, path="/api/other", wake=replace(QDRANT.wake, ignore_paths=("/a", "/b")))
    assert lds(Catalog({"qdrant": other}), PLACE) == lds(Catalog({"qdrant": QDRANT}), PLACE)


def test_what_listens_everywhere_does_so_on_ipv6_where_the_machine_has_it() -> None:
    everywhere = replace(QDRANT, publishes=(Publish("main", "", 21001), Publish("grpc", "0.0.0.0", 21002)))
    for ipv6, wanted in (
        (True, [("::", True), ("0.0.0.0", None)]),
        (False, [("0.0.0.0", None), ("0.0.0.0", None)]),
    ):
        made = every("socket_address", lds(Catalog({"qdrant": everywhere}), replace(PLACE, ipv6=ipv6)))
        assert [(where["address"], where.get("ipv4_compat")) for where in made] == wanted


def test_only_addresses_are_listened_on() -> None:
    assert socket("localhost", 1) == socket("127.0.0.1", 1)
    assert socket("", 1) == socket("0.0.0.0", 1)
    assert socket("[::1]", 1) == socket("::1", 1)
    with pytest.raises(ValueError):
        socket("example.org", 1)
