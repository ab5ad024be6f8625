"""Names of clusters and what travels in the header to the gate: made and read in this one place.

A service has one cluster per port that speaks HTTP and a second with the same endpoints for background requests:
`tabby`, `tabby~bg`, `qdrant:grpc`, `qdrant:grpc~bg`. The header carries the cluster's name and, behind it, marks that
the gate and the check endpoint need: `~health` in place of `~bg` for a question about the service's health, `+in` for
what comes by a name inside a container network, and `+h2c` where the upstream speaks HTTP/2, the last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from services.catalog.model import Port, Protocol, Service

SERVICE_HEADER = "x-lazy-service"
INSIDE_MARK = "+in"
H2C_MARK = "+h2c"

_PARTS = re.compile(
    r"(?P<service>[^~:+]+)(?::(?P<port>[^~:+]+))?(?:~(?P<lane>bg|health))?(?P<inside>\+in)?(?P<h2c>\+h2c)?"
)


class Lane(StrEnum):
    USE = ""
    BACKGROUND = "bg"
    """Counts for draining, never for use, and wakes nothing."""
    HEALTH = "health"
    """Background too; asleep, it is answered with the service's state."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one request at the gate is for."""

    service: str
    port: str
    lane: Lane = Lane.USE
    inside: bool = False
    """From a neighbour in a container network: a program, whatever it says of itself."""


def cluster_name(service: str, port: str, *, background: bool = False) -> str:
    return service + ("" if port == "main" else f":{port}") + ("~bg" if background else "")


def stat_name(cluster: str) -> str:
    """Envoy turns `:` into `_` in the names of its counters, and two clusters could then share one."""
    return cluster.replace(":", "@")


def cluster_of_stat(stat: str) -> str:
    return stat.replace("@", ":")


def clusters_of(service: Service) -> tuple[str, ...]:
    """Every cluster that has the service's endpoints."""
    lazy = [cluster_name(service.name, p.name, background=bg) for p in service.http_ports for bg in (False, True)]
    return (*lazy, *(cluster_name(service.name, p.name) for p in service.ports if p.protocol is Protocol.TCP))


def header_value(service: str, port: Port, lane: Lane = Lane.USE, *, inside: bool = False) -> str:
    name = cluster_name(service, port.name)
    marks = (INSIDE_MARK if inside else "") + (H2C_MARK if port.protocol is Protocol.H2C else "")
    return name + (f"~{lane}" if lane else "") + marks


def read_header(value: str) -> Target | None:
    """None where the value is none of ours."""
    parts = _PARTS.fullmatch(value)
    if parts is None:
        return None
    return Target(parts["service"], parts["port"] or "main", Lane(parts["lane"] or ""), parts["inside"] is not None)


def split_cluster(cluster: str) -> tuple[str, str, bool]:
    """Service, port, background."""
    plain, _, lane = cluster.partition("~")
    service, _, port = plain.partition(":")
    return service, port or "main", bool(lane)
