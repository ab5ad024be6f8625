"""Cluster names and the header to the gate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.catalog.model import Port, Protocol, Service
from services.scaler.mesh.names import (
    H2C_MARK,
    Lane,
    Target,
    cluster_name,
    cluster_of_stat,
    clusters_of,
    header_value,
    read_header,
    split_cluster,
    stat_name,
)  # fmt: skip

NAME = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)


@given(NAME, NAME, st.sampled_from(Lane), st.sampled_from([Protocol.HTTP, Protocol.H2C]), st.booleans())
def test_the_header_says_what_was_meant(service: str, port: str, lane: Lane, protocol: Protocol, inside: bool) -> None:
    value = header_value(service, Port(port, 1, protocol), lane, inside=inside)
    assert read_header(value) == Target(service, port, lane, inside)
    assert value.endswith(H2C_MARK) == (protocol is Protocol.H2C)


@given(NAME, NAME, st.booleans())
def test_a_clusters_name_says_service_and_port(service: str, port: str, background: bool) -> None:
    cluster = cluster_name(service, port, background=background)
    assert split_cluster(cluster) == (service, port, background)
    assert cluster_of_stat(stat_name(cluster)) == cluster
    assert ":" not in stat_name(cluster)


@given(st.text(max_size=30))
def test_any_header_is_read_or_is_none_of_ours(value: str) -> None:
    target = read_header(value)
    assert target is None or value.startswith(target.service)


def test_each_http_port_has_a_second_cluster_for_what_is_no_use() -> None:
    ports = (Port("main", 1), Port("grpc", 2, Protocol.H2C), Port("db", 3, Protocol.TCP))
    assert clusters_of(Service("q", ports=ports)) == ("q", "q~bg", "q:grpc", "q:grpc~bg", "q:db")
