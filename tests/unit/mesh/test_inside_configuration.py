"""Laws of what inner gateways are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from services.catalog.addresses import Edge
from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog, Port, Protocol, Service
from services.scaler.mesh.config.bootstrap import bootstrap
from services.scaler.mesh.config.doors import Door, doors
from services.scaler.mesh.config.inside import (
    INNER_LDS_FILE,
    inner_place,
    kept_hosts,
    lds_inner,
    rds_inner,
    rds_inside,
)
from services.scaler.mesh.config.kept import Kept
from services.scaler.mesh.config.wire import encode
from services.scaler.mesh.names import Lane, cluster_name, read_header
from tests.unit.mesh.test_configuration import PLACE, QDRANT, every, said

INNER = inner_place(PLACE, Edge("0.0.0.0", 8000), "/f/i/gate", "/f/i/admin")
CHROMA = Service("chroma", ports=(Port("main", 8000), Port("main2", 1)), path="/api/chroma")
CATALOG = Catalog({"qdrant": QDRANT, "chroma": CHROMA})
SHOP = InsideNetwork("shop", ("172.18.0.0/16",), {"qdrant": "qdrant", "chroma": "chroma"})
DESK = InsideNetwork("desk", ("172.19.0.0/16",), {"vectors": "qdrant"})


def made(catalog: Catalog = CATALOG, *inside: InsideNetwork) -> tuple[Door, ...]:
    return doors(catalog, inside or (SHOP, DESK), 8000, kept_hosts(INNER)).doors


def chains(document: dict[str, Any]) -> dict[str, Any]:
    return {chain["name"]: chain for listener in document["resources"] for chain in listener["filter_chains"]}


def documents() -> list[dict[str, Any]]:
    return [rds_inside(made(), INNER, Kept()), rds_inner(CATALOG, made(), INNER, Kept())]


def test_every_request_by_a_name_inside_says_so_to_the_gate() -> None:
    inside, inner = documents()
    hosts = [(inside["resources"][0], inside["resources"][0]["virtual_hosts"][0])]
    hosts += [(host, host) for host in inner["resources"][0]["virtual_hosts"] if host["name"] == "inside"]
    assert len(hosts) == 2
    for level, host in hosts:
        assert said(level, "") == "%UPSTREAM_CLUSTER_RAW%+in"
        routes = [route for found in every("routes", host) for route in found if "route" in route]
        assert routes
        for route in routes:
            cluster = route["route"]["cluster"]
            target = read_header(said(route, f"{cluster}+in"))
            assert target is not None
            assert target.inside
            assert cluster_name(target.service, target.port, background=target.lane is not Lane.USE) == cluster
            assert "prefix_rewrite" not in route["route"]


def test_the_gateways_own_words_are_for_the_edge_alone() -> None:
    inside, inner = documents()
    assert "x-forwarded-host" not in str(inside)
    for host in inner["resources"][0]["virtual_hosts"]:
        assert ("x-forwarded-host" in str(host["request_headers_to_add"])) == (host["name"] != "inside")


def test_a_chain_says_nothing_of_the_services_behind_it() -> None:
    """Else one that comes to a port would cut the connections of those that are there."""
    before = chains(lds_inner(made(), INNER))
    third = Service("third", ports=tuple(Port(f"p{n}", n) for n in (1, 2, 8000)), path="/api/third")
    busy = replace(QDRANT, wake=replace(QDRANT.wake, ignore_paths=("/a",)))
    more = Catalog({"third": third, "qdrant": busy, "chroma": CHROMA})
    names = InsideNetwork("shop", SHOP.subnets, {**SHOP.names, "third": "third"})
    after = chains(lds_inner(made(more, names, DESK), INNER))
    assert before.keys() <= after.keys()
    assert {key: after[key] for key in before} == before


def test_a_service_that_goes_takes_its_own_chains_alone() -> None:
    before = chains(lds_inner(made(), INNER))
    after = chains(lds_inner(made(Catalog({"qdrant": QDRANT})), INNER))
    assert {key: before[key] for key in after} == after
    assert before.keys() - after.keys() == {"shop@8000"}


def test_the_hubs_own_port_is_there_whoever_is_inside() -> None:
    for inside in ((SHOP, DESK), (DESK,), (InsideNetwork("none", ("10.0.0.0/8",), {}),)):
        (edge,) = [one for one in lds_inner(made(CATALOG, *inside), INNER)["resources"] if one["name"] == "inside@8000"]
        assert edge["default_filter_chain"]["name"] == "edge"
    others = [one for one in lds_inner(made(), INNER)["resources"] if one["name"] != "inside@8000"]
    assert others
    assert all("default_filter_chain" not in one for one in others)


def test_no_inner_listener_shares_its_port_or_has_large_buffers_or_tells_507() -> None:
    document = lds_inner(made(), INNER)
    for listener in document["resources"]:
        assert listener["per_connection_buffer_limit_bytes"] == 65536
        assert listener["enable_reuse_port"] is False
    managers = [found for found in every("typed_config", document) if "http_filters" in found]
    assert managers
    for manager in managers:
        assert manager["local_reply_config"]["mappers"][0]["status_code"] == 503
        assert manager["use_remote_address"]
        assert "normalize_path" not in manager


def test_plain_tcp_goes_straight_to_its_cluster() -> None:
    (proxy,) = every("cluster", chains(lds_inner(made(), INNER))["shop@3"])
    assert proxy == "qdrant:db"


def test_an_inner_gateways_bootstrap_has_its_own_sockets_and_no_network_socket() -> None:
    document = bootstrap(INNER, "inner-1", INNER_LDS_FILE)
    assert list(every("socket_address", document)) == []
    paths = set(every("path", [document["admin"], document["static_resources"]["listeners"]]))
    assert {"/f/i/gate", "/f/i/admin"} <= paths
    assert not {"/f/gate", "/f/envoy-admin"} & paths
    assert document["node"]["id"] == "inner-1"


def test_what_inner_gateways_read_can_be_written() -> None:
    for document in documents():
        assert encode(document) == encode(document)


def test_a_domain_names_one_virtual_host() -> None:
    """Envoy refuses the whole table otherwise."""
    odd = InsideNetwork("shop", SHOP.subnets, {"Envoy": "chroma", "localhost": "chroma", "box.lan": "chroma"})
    (table,) = rds_inner(CATALOG, made(CATALOG, odd), INNER, Kept())["resources"]
    domains = [domain.lower() for host in table["virtual_hosts"] for domain in host["domains"]]
    assert len(domains) == len(set(domains))


def in_namespaces(number: int, protocol: Protocol) -> tuple[tuple[Door, ...], Catalog]:
    """Two services with a namespace each that listen on one port."""
    services = {name: Service(name, ports=(Port("main", number, protocol),)) for name in ("left", "right")}
    networks = [
        InsideNetwork(f"holder:{name}", (), {name: name}, f"/run/netns/{name}", {number: 61000}) for name in services
    ]
    catalog = Catalog(services)
    return made(catalog, *networks), catalog


def test_services_with_a_namespace_each_have_listeners_there_whatever_port_they_share() -> None:
    for protocol in (Protocol.HTTP, Protocol.TCP):
        found, _ = in_namespaces(9000, protocol)
        listeners = [one for one in lds_inner(found, INNER)["resources"] if one["name"] != "inside@8000"]
        sockets = [one["address"]["socket_address"] for one in listeners]
        assert [one["network_namespace_filepath"] for one in sockets] == ["/run/netns/left", "/run/netns/right"]
        assert {one["port_value"] for one in sockets} == {61000}
        if protocol is Protocol.TCP:
            clusters = [cluster for one in listeners for cluster in every("cluster", one)]
            assert clusters == [cluster_name("left", "main"), cluster_name("right", "main")]


def test_in_a_namespace_every_host_means_its_service_also_on_the_port_of_the_hub() -> None:
    found, catalog = in_namespaces(8000, Protocol.HTTP)
    assert all(not door.by_host for door in found)
    text = str(rds_inside(found, INNER, Kept()))
    assert "holder:left@8000" in text
    assert "holder:left@8000" not in str(rds_inner(catalog, found, INNER, Kept()))


def test_another_namespace_is_another_listener() -> None:
    catalog = Catalog({"left": Service("left", ports=(Port("main", 80),))})
    names = {
        one["name"]
        for path in ("/run/netns/a", "/run/netns/b")
        for one in lds_inner(made(catalog, InsideNetwork("h", (), {"left": "left"}, path, {80: 61000})), INNER)[
            "resources"
        ]
    }
    assert names == {"inside@8000", "h@80/a", "h@80/b"}


def test_an_answer_of_the_gateways_own_stays_within_what_envoy_takes_however_many_share_a_port() -> None:
    """It would refuse all of its routes for one that is too long, and no name would be found."""
    names = [f"{'long-name-' * 5}{number}" for number in range(200)]
    many = Catalog({name: Service(name, ports=(Port("main", 80),), path=f"/api/{name}") for name in names})
    network = InsideNetwork("shop", ("172.18.0.0/16",), {name: name for name in names})
    told = list(every("direct_response", rds_inside(made(many, network), INNER, Kept())))
    assert max(len(one["body"]["inline_string"]) for one in told) <= 4096
    (several,) = {one["body"]["inline_string"] for one in told if "several listen" in one["body"]["inline_string"]}
    assert names[0] in several
    assert "192 more" in several
