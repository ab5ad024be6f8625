"""What Envoy's admin says, read: the counters of clusters and the rows of single endpoints. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.catalog.model import Service
from services.scaler.mesh.config.common import GATE_DST, GATE_DST_H2, OWN_CLUSTERS
from services.scaler.mesh.names import cluster_of_stat, clusters_of, split_cluster

_COUNTERS = ("upstream_rq_active", "upstream_rq_pending_active", "upstream_rq_total")
_BYTES = ("upstream_cx_rx_bytes_total", "upstream_cx_tx_bytes_total")
FLOW_FILTER = rf"^cluster\..*\.({'|'.join((*_COUNTERS, *_BYTES))})$"
_LINE = re.compile(rf"cluster\.(?P<stat>.+)\.(?P<counter>{'|'.join((*_COUNTERS, *_BYTES))}): (?P<value>\d+)")
_GATES = (GATE_DST, GATE_DST_H2)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one service, background requests left out."""

    active: int = 0
    """In flight, held ones included."""
    total: int = 0
    moved_bytes: int = 0


def read_flows(text: str) -> Mapping[str, Counts]:
    """The answer to `/stats?filter=FLOW_FILTER`, summed over the clusters of each service."""
    found: dict[str, list[int]] = {}
    for match in _LINE.finditer(text):
        cluster = cluster_of_stat(match["stat"])
        service, _, background = split_cluster(cluster)
        if background or cluster in OWN_CLUSTERS:
            continue
        counts = found.setdefault(service, [0, 0, 0])
        if match["counter"] in _BYTES:
            counts[2] += int(match["value"])
        else:
            counts[1 if match["counter"] == "upstream_rq_total" else 0] += int(match["value"])
    return {service: Counts(*counts) for service, counts in found.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint in one cluster."""

    cluster: str
    address: str
    busy: int
    """Requests in flight or waiting for a connection; for the gate's clusters and TCP, open connections."""
    total: int
    """Requests (connections) so far."""
    gateway: str = ""


def rows_filter(service: Service) -> str:
    """For `/clusters?filter=`: the service's clusters and the gate's."""
    names = [re.escape(name) for name in (*clusters_of(service), *_GATES)]
    return f"^({'|'.join(names)})$"


def read_rows(text: str, addresses: Collection[str], tcp: Iterable[str] = (), gateway: str = "") -> tuple[Row, ...]:
    """The answer of one gateway to `/clusters?format=json`, the rows of `addresses` only. `tcp`: clusters that carry
    connections."""
    by_connection = {*_GATES, *tcp}
    return tuple(
        _row(gateway, cluster["name"], address, host, cluster["name"] in by_connection)
        for cluster in json.loads(text).get("cluster_statuses", ())
        for host in cluster.get("host_statuses", ())
        if (address := _address(host)) in addresses
    )


def _row(gateway: str, cluster: str, address: str, host: Mapping[str, Any], by_connection: bool) -> Row:
    stats = {stat["name"]: int(stat.get("value", 0)) for stat in host.get("stats", ())}
    if by_connection:
        return Row(cluster, address, stats.get("cx_active", 0), stats.get("cx_total", 0), gateway)
    busy = stats.get("rq_active", 0) + stats.get("rq_pending_active", 0)
    return Row(cluster, address, busy, stats.get("rq_total", 0), gateway)


def _address(host: Mapping[str, Any]) -> str:
    place = host.get("address", {}).get("socket_address", {})
    return f"{place.get('address')}:{place.get('port_value')}"


def has_moved(before: Sequence[Row], after: Sequence[Row]) -> bool:
    """Whether a request has reached the endpoints between two readings. The gate's clusters may have several rows for
    one endpoint, and clean up what is unused: their sum may fall. Each gateway is looked at by itself, so that what one
    cleans up hides nothing that came to another."""
    then, now = _sums(before), _sums(after)
    return any(total > then[key] for key, total in now.items())


def _sums(rows: Iterable[Row]) -> Counter[tuple[str, str, str, str]]:
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for row in rows:
        sums[row.gateway, row.cluster, row.address, "total"] += row.total
        sums[row.gateway, row.cluster, row.address, "busy"] += row.busy
    return sums
