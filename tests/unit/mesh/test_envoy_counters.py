"""Reading Envoy's counters, and the flows made of them."""

from __future__ import annotations

import json

import pytest

from services.catalog.model import Port, Service
from services.scaler.core.events import Flow
from services.scaler.mesh.envoy_counters import Counts, Row, has_moved, read_flows, read_rows, rows_filter
from services.scaler.mesh.traffic import Traffic

TEXT = """cluster.chat.upstream_cx_rx_bytes_total: 100
cluster.chat.upstream_cx_tx_bytes_total: 50
cluster.chat.upstream_rq_active: 2
cluster.chat.upstream_rq_pending_active: 1
cluster.chat.upstream_rq_total: 9
cluster.chat@grpc.upstream_rq_active: 4
cluster.chat@grpc.upstream_rq_total: 5
cluster.chat~bg.upstream_rq_active: 7
cluster.chat~bg.upstream_rq_total: 70
cluster.a.b.upstream_rq_total: 3
cluster.gate_dst.upstream_rq_active: 8
cluster.lazyd.upstream_rq_total: 8
"""


def test_flows_are_summed_over_the_ports_and_leave_the_background_out() -> None:
    assert read_flows(TEXT) == {"chat": Counts(7, 14, 150), "a.b": Counts(0, 3, 0)}


def test_what_is_held_is_not_in_flight() -> None:
    flows = Traffic().flows({"hub": {"chat": Counts(7, 14, 150), "b": Counts(1, 1, 1)}}, {"chat": 5, "b": 3}, 0.0)
    assert flows == {"chat": Flow(2, 14, 0.0), "b": Flow(0, 1, 0.0)}


def test_silence_is_counted_while_something_is_in_flight() -> None:
    traffic = Traffic()

    def silent(active: int, moved: int, now: float) -> float:
        return traffic.flows({"hub": {"a": Counts(active, 1, moved)}}, {}, now)["a"].silent

    assert [silent(1, 10, 0.0), silent(1, 10, 5.0), silent(1, 11, 6.0), silent(1, 11, 8.0)] == [0, 5, 0, 2]
    assert [silent(0, 11, 9.0), silent(1, 11, 12.0), silent(1, 11, 13.0)] == [0, 3, 4]
    assert traffic.flows({}, {}, 20.0) == {}
    assert silent(1, 11, 30.0) == 0


def test_gateways_are_summed_and_the_sum_of_requests_outlives_them() -> None:
    traffic = Traffic()

    def seen(**totals: int) -> Flow:
        readings = {gateway: {"a": Counts(1, total, 10)} for gateway, total in totals.items()}
        return traffic.flows(readings, {}, 0.0)["a"]

    assert seen(hub=5, inner=3) == Flow(2, 8, 0.0)
    assert seen(hub=6, inner=3).total == 9
    assert seen(hub=6).total == 9, "one has gone"
    assert seen(hub=2).total == 11, "the other has begun anew"
    assert seen(hub=2, inner=4).total == 12, "the first was only out of sight"
    assert traffic.flows({"hub": {}}, {}, 0.0) == {}


def host(address: str, port: int, **stats: int) -> dict[str, object]:
    named = [{"name": name, "value": str(value)} for name, value in stats.items()]
    return {"address": {"socket_address": {"address": address, "port_value": port}}, "stats": named}


def test_rows_are_those_of_the_endpoints_and_count_what_each_cluster_carries() -> None:
    pipe = {"address": {"pipe": {"path": "/gate"}}, "stats": []}
    clusters = [
        {"name": "chat", "host_statuses": [host("127.0.0.1", 1, rq_active=2, rq_pending_active=1, rq_total=9), pipe]},
        {"name": "gate_dst", "host_statuses": [host("127.0.0.1", 1, cx_active=1, cx_total=3), host("127.0.0.1", 2)]},
        {"name": "chat:db", "host_statuses": [host("127.0.0.1", 1, cx_active=4, cx_total=4, rq_active=0)]},
        {"name": "empty"},
    ]
    rows = read_rows(json.dumps({"cluster_statuses": clusters}), {"127.0.0.1:1"}, ["chat:db"])
    assert rows == (
        Row("chat", "127.0.0.1:1", 3, 9),
        Row("gate_dst", "127.0.0.1:1", 1, 3),
        Row("chat:db", "127.0.0.1:1", 4, 4),
    )


def test_the_filter_names_the_services_clusters_and_the_gates_and_no_other() -> None:
    import re

    found = re.compile(rows_filter(Service("a.b", ports=(Port("main", 1), Port("x", 2)))))
    for name in ("a.b", "a.b~bg", "a.b:x", "a.b:x~bg", "gate_dst", "gate_dst_h2"):
        assert found.search(name), name
    for name in ("aXb", "a.b:y", "a.bc", "lazyd"):
        assert not found.search(name), name


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ([("s", 5)], [("s", 5)], False),
        ([("s", 5)], [("s", 6)], True),
        ([("s", 5)], [], False),
        ([], [("gate_dst", 1)], True),
        ([], [("gate_dst", 0)], False),
        ([("gate_dst", 3), ("gate_dst", 1)], [("gate_dst", 1), ("gate_dst", 3)], False),
        ([("gate_dst", 3), ("gate_dst", 1)], [("gate_dst", 3)], False),
    ],
)
def test_movement_is_told_from_clean_up(
    before: list[tuple[str, int]], after: list[tuple[str, int]], moved: bool
) -> None:
    def rows(counts: list[tuple[str, int]]) -> list[Row]:
        return [Row(cluster, "127.0.0.1:1", 0, total) for cluster, total in counts]

    assert has_moved(rows(before), rows(after)) is moved


def test_what_one_gateway_cleans_up_hides_nothing_that_came_to_another() -> None:
    before = [Row("gate_dst", "a", 0, 5, "hub"), Row("gate_dst", "a", 0, 1, "inner-1")]
    assert has_moved(before, [Row("gate_dst", "a", 0, 2, "inner-1")])
    assert has_moved(before, [Row("gate_dst", "a", 0, 5, "hub"), Row("gate_dst", "a", 1, 1, "inner-1")])
    assert not has_moved(before, [Row("gate_dst", "a", 0, 1, "inner-1")])


def test_a_request_in_flight_is_movement() -> None:
    assert has_moved([Row("s", "a", 0, 1)], [Row("s", "a", 1, 1)])
