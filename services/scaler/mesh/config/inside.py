"""Listeners and routes of the inner gateways, which own names inside container networks. Another module says who is
behind each door; here that becomes Envoy's configuration.

One listener per port number, one filter chain per network in it, found by the subnet that a connection came to. The
text of a chain follows from network, port and kind alone, so that Envoy keeps it, and its connections, whatever else
changes: services come and go by their routes. On the hub's own port there the edge is what remains. A service with a
namespace of its own has a listener there for each of its ports.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath

from services.catalog.addresses import DOMAIN, Edge
from services.catalog.model import Catalog
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.doors import Behind, Door
from services.scaler.mesh.config.kept import Kept
from services.scaler.mesh.config.listeners import LISTENER, listener, note, routed_manager, tcp_proxy
from services.scaler.mesh.config.map_back import map_back_filter
from services.scaler.mesh.config.matching import actions, both, filter_state, header, refusal, tree
from services.scaler.mesh.config.routes import HEADERS, LOOPBACK_NAMES, configuration, edge_hosts
from services.scaler.mesh.config.service_routes import name_monitor_routes, name_routes
from services.scaler.mesh.config.wire import Part
from services.scaler.mesh.names import INSIDE_MARK, SERVICE_HEADER, cluster_name

INNER_LDS_FILE = "lds-inner.json"
INNER_RDS_FILE = "rds-inner.pb"
INSIDE_RDS_FILE = "rds-inside.pb"
HUB_NAMES = ("aihub", "envoy")
"""Aliases of every inner gateway: the hub itself, for whoever is on such a network."""

_DOOR = "hub.door"
"""Filter state that a chain sets: at which door a connection has come."""
_EDGE, _INSIDE = "edge", "inside"
_FORWARDED_HOST = "x-forwarded-host"
_OURS = ("x-envoy-external-address",)
"""Set by Envoy itself, and nothing that a neighbour should see."""
_MARKED = {SERVICE_HEADER: HEADERS[SERVICE_HEADER] + INSIDE_MARK}
_SHOWN = 8
"""Names in an answer: Envoy takes no routes of which an answer has more than 4096 bytes, and names have up to 63."""


def inner_place(place: Place, edge: Edge, gate: str, envoy_admin: str) -> Place:
    """The same hub, seen from a gateway of its networks. `edge`: where it listens there."""
    port = place.people_port or place.edge.port
    return replace(place, edge=edge, gate=gate, envoy_admin=envoy_admin, tls=None, names=HUB_NAMES, people_port=port)


def kept_hosts(place: Place) -> tuple[str, ...]:
    """Hosts that mean the hub itself on its own port there."""
    return (*LOOPBACK_NAMES, *place.names, DOMAIN, *([place.domain] if place.domain else []))


def lds_inner(doors: Sequence[Door], place: Place) -> Json:
    shared = [door for door in doors if not door.namespace]
    numbers = {number: list(group) for number, group in groupby(shared, lambda door: door.number)}
    numbers.setdefault(place.edge.port, [])
    listeners = [_listener(number, found, place) for number, found in sorted(numbers.items())]
    return {"resources": [*listeners, *(_in_namespace(door, place) for door in doors if door.namespace)]}


def _in_namespace(door: Door, place: Place) -> Json:
    """Another namespace makes another listener: one that is told a new address would keep its old socket."""
    name = f"{door.key}/{PurePosixPath(door.namespace).name}"
    made = listener(name, place.edge.host, door.listens, [{"filters": _filters(door, place)}], place)
    made["address"]["socket_address"]["network_namespace_filepath"] = door.namespace
    # Every inner gateway listens in every namespace, and all say the same.
    made["enable_reuse_port"] = True
    made.pop("connection_balance_config", None)
    return {"@type": LISTENER, **made}


def _listener(number: int, doors: list[Door], place: Place) -> Json:
    made = listener(f"inside@{number}", place.edge.host, number, [_chain(door, place) for door in doors], place)
    if number == place.edge.port:
        made["default_filter_chain"] = {"name": _EDGE, "filters": [_edge_manager(place)]}
    return {"@type": LISTENER, **made}


def _chain(door: Door, place: Place) -> Json:
    ranges = [ipaddress.ip_network(subnet) for subnet in door.subnets]
    prefixes = [{"address_prefix": str(r.network_address), "prefix_len": r.prefixlen} for r in ranges]
    return {"name": door.key, "filter_chain_match": {"prefix_ranges": prefixes}, "filters": _filters(door, place)}


def _filters(door: Door, place: Place) -> list[Json]:
    if door.tcp:
        (behind,) = door.behind
        return [tcp_proxy(_INSIDE, cluster_name(behind.service.name, behind.port.name))]
    edge = _of_hub(door, place)
    return [note(_DOOR, door.key), _edge_manager(place) if edge else _manager(place, _INSIDE, INSIDE_RDS_FILE)]


def _of_hub(door: Door, place: Place) -> bool:
    """Whether the hub itself is at that door too."""
    return door.number == place.edge.port and not door.namespace


def _edge_manager(place: Place) -> Json:
    return _manager(place, _EDGE, INNER_RDS_FILE, map_back_filter(place))


def _manager(place: Place, name: str, file: str, *filters: Json) -> Json:
    """Requests go on as they came, whatever their path and headers look like: between neighbours nobody else would
    touch them. What a proxy of the project says of its clients is true here."""
    untouched = {"skip_xff_append": True, "xff_num_trusted_hops": 1}
    return routed_manager(place, name, file, filters=filters, **untouched)


def rds_inside(doors: Iterable[Door], place: Place, kept: Kept) -> Json:
    """Routes of every port but the hub's own."""
    by_name = [door for door in doors if not door.tcp and not _of_hub(door, place)]
    host = {"name": _INSIDE, "domains": ["*"], **_trees(by_name, kept)}
    return configuration(_INSIDE, [host], _MARKED, _OURS)


def rds_inner(catalog: Catalog, doors: Iterable[Door], place: Place, kept: Kept) -> Json:
    """Routes of the hub's own port: names of services first, then what the edge has."""
    mine = [door for door in doors if not door.tcp and _of_hub(door, place)]
    forwarded = common.overwrite({_FORWARDED_HOST: HEADERS[_FORWARDED_HOST]})
    hosts = [
        {**host, "request_headers_to_add": [*host.get("request_headers_to_add", ()), *forwarded]}
        for host in edge_hosts(catalog, place, kept)
    ]
    if mine:
        domains = sorted({host for door in mine for behind in door.behind for host in behind.hosts})
        marked = {"request_headers_to_add": common.overwrite(_MARKED)}
        hosts.append({"name": _INSIDE, "domains": domains, **_trees(mine, kept), **marked})
    return configuration(_EDGE, hosts, {SERVICE_HEADER: HEADERS[SERVICE_HEADER]}, _OURS)


def _trees(doors: list[Door], kept: Kept) -> Json:
    found = {door.key: [_routes(behind, kept) for behind in door.behind] for door in doors}
    use = {door.key: _found(door, [use for use, _ in found[door.key]]) for door in doors}
    looking = {door.key: _found(door, [looking for _, looking in found[door.key]]) for door in doors}
    return both("exact_match_map", filter_state(_DOOR), use, looking, refusal(421, "misdirected", "unknown host"))


def _routes(behind: Behind, kept: Kept) -> tuple[Json, Json]:
    """Of the service, and for monitors that look at it."""
    service, port = behind.service, behind.port

    def made() -> tuple[Json, Json]:
        lists = (name_routes(service, port, inside=True), name_monitor_routes(service, port, inside=True))
        use, looking = (Part(actions(routes)) for routes in lists)
        return use, looking

    return kept.of(service, (_INSIDE, port.name), made)


def _found(door: Door, each: list[Json]) -> Json:
    if not door.by_host:
        return each[0]
    named = {
        host: what
        for behind, what in zip(door.behind, each, strict=True)
        for name in behind.hosts
        for host in (name, f"{name}:{door.number}")
    }
    return {"matcher": tree("exact_match_map", header(":authority"), named, {"matcher": _any_case(door, each)})}


def _any_case(door: Door, each: list[Json]) -> Json:
    """For the few callers that write names as their users do. A tree knows no such thing."""
    matchers = [
        {
            "predicate": {"single_predicate": {"input": header(":authority"), "value_match": _name_of(behind, door)}},
            "on_match": what,
        }
        for behind, what in zip(door.behind, each, strict=True)
    ]
    return {"matcher_list": {"matchers": matchers}, "on_no_match": actions([_nobody(door)])}


def _name_of(behind: Behind, door: Door) -> Json:
    names = "|".join(re.escape(host) for host in behind.hosts)
    return {"safe_regex": {"google_re2": {}, "regex": f"(?i)(?:{names})(?::{door.number})?"}}


def _nobody(door: Door) -> Json:
    who = ", ".join(behind.hosts[0] for behind in door.behind[:_SHOWN])
    if more := len(door.behind[_SHOWN:]):
        who += f", … ({more} more)"
    message = f"several listen on port {door.number} of network {door.network}: call one of {who} by its name"
    return refusal(421, "misdirected", message)
