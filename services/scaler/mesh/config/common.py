"""What several parts of Envoy's configuration share: limits, addresses, the HTTP connection's settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.catalog.addresses import Edge

Json = dict[str, Any]

BUFFER_BYTES = 65536
"""Listeners and clusters alike: a held request with a large body then costs Envoy about 0.5 MB, not 2.5."""
STREAM_WINDOW_BYTES = 65536
CONNECTION_WINDOW_BYTES = 1048576
CONNECT_TIMEOUT = "10s"
"""A burst may overrun a small listen backlog: the kernel tries again after 1 s and 3 s, which 10 s leaves room for."""
NOBODY_THERE: Json = {"name": "x-hub-state", "string_match": {"exact": "unreachable"}}
"""By this the gate says that a request has not reached the replica it was meant for."""
LONGEST_HOLD = 3600
"""Seconds; the cap of `X-Hub-Wait`."""
MANY = {
    "thresholds": [
        {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000, "max_retries": 100000}
    ]
}
"""Circuit breakers out of the way: the limit on held requests is the scaler's, and it answers in words."""

HUB_ADMIN = "hub_admin"
GATE_DST = "gate_dst"
GATE_DST_H2 = "gate_dst_h2"
LAZYD = "lazyd"
ADS = "ads"
OWN_CLUSTERS = frozenset({HUB_ADMIN, GATE_DST, GATE_DST_H2, LAZYD, ADS})


@dataclass(frozen=True, slots=True)
class Place:
    """Where Envoy finds what the hub has on this machine, and where it listens."""

    edge: Edge
    folder: str
    """Of the files this package is written to."""
    gate: str
    check: str
    ads: str
    admin: str
    """The hub's own HTTP, a socket like the others."""
    envoy_admin: str
    workers: int = 1
    domain: str | None = None
    """Besides `localhost`: services are also `NAME.DOMAIN`."""
    tls: tuple[str, str] | None = None
    """Files of certificate chain and key, for the edge."""
    names: tuple[str, ...] = ()
    """Further hosts that mean the hub. Whoever uses them cannot be sent to an origin of a service's own."""
    ipv6: bool = False
    """Whether this machine has IPv6, so that what listens everywhere is to listen there too."""
    people_port: int = 0
    """Where people find the hub, if that is another gateway's port."""


def pipe(path: str) -> Json:
    return {"pipe": {"path": path}}


def socket(host: str, port: int) -> Json:
    """Raises ValueError as `address_of`."""
    return {"socket_address": {"address": address_of(host), "port_value": port}}


def bound(host: str, port: int, *, ipv6: bool) -> Json:
    """Where to listen; without a host on every address, by one socket for both families. Raises as `address_of`."""
    if host or not ipv6:
        return socket(host, port)
    return {"socket_address": {"address": "::", "port_value": port, "ipv4_compat": True}}


def address_of(host: str) -> str:
    """Envoy binds addresses, not names. Raises ValueError where `host` is any other name than localhost."""
    return "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host.strip("[]") or "0.0.0.0"))


def static_load(cluster: str, *addresses: Json) -> Json:
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": endpoints}]}


def typed(name: str, /, **fields: Any) -> Json:
    """An `Any` of Envoy's: `name` is the message's full name."""
    return {"@type": f"type.googleapis.com/{name}", **fields}


def extension(name: str, message: str, /, **fields: Any) -> Json:
    return {"name": name, "typed_config": typed(message, **fields)}


def file_source(folder: str, name: str) -> Json:
    return {"resource_api_version": "V3", "path_config_source": {"path": f"{folder}/{name}"}}


def overwrite(headers: Mapping[str, str]) -> list[Json]:
    return [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in headers.items()
    ]


def http_protocol(*, h2: bool, **common: Any) -> Json:
    """Upstream protocol options of a cluster. `common`: fields of its common_http_protocol_options."""
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    windows = {
        "initial_stream_window_size": STREAM_WINDOW_BYTES,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
    }
    explicit: Json = {"http2_protocol_options": windows} if h2 else {"http_protocol_options": {}}
    fields: Json = {"explicit_http_config": explicit}
    if common:
        fields["common_http_protocol_options"] = common
    return {name: typed(name, **fields)}


def mapped(seen: int, shown: int) -> Json:
    """For replies of Envoy's own: the client is shown another status."""
    comparison = {"op": "EQ", "value": {"default_value": seen, "runtime_key": f"hub.code_{seen}"}}
    return {"filter": {"status_code_filter": {"comparison": comparison}}, "status_code": shown}


TOO_LARGE_TO_REPEAT = mapped(507, 503)
"""A replica died under a request whose body is longer than what is kept to send it again: "insufficient storage" would
send people looking at their disks."""


JUST_ADDED: Json = {
    "filter": {"response_flag_filter": {"flags": ["NC"]}},
    "headers_to_add": [{"header": {"key": "retry-after", "value": "1"}}],
    "body_format_override": {
        "json_format": {
            "error": {
                "code": "just-added",
                "message": "the gateway is just being told of this service",
                "retry_after_s": 1,
            }
        }
    },
}
"""For a few milliseconds a new service has its routes already and its cluster not yet."""


BROKEN_OFF: Json = {
    "filter": {"response_flag_filter": {"flags": ["UC", "UR"]}},
    "body_format_override": {
        "json_format": {
            "error": {
                "code": "broken-off",
                "message": "the service broke off before it answered; it may have begun, so it was not asked again",
            }
        }
    },
}
"""A replica died under a request that was on its way to it, or closed the connection."""

COMPLAINTS: tuple[Json, ...] = (TOO_LARGE_TO_REPEAT, JUST_ADDED, BROKEN_OFF)
"""Replies of Envoy's own, in words for people."""


# Quiet: neither a program nor its client shall notice Envoy, and clients' own x-envoy-* headers mean nothing.
# Without counters per status code and the histogram of each cluster, a warm request costs 2 % less.
ROUTER = extension(
    "envoy.filters.http.router",
    "envoy.extensions.filters.http.router.v3.Router",
    suppress_envoy_headers=True,
    dynamic_stats=False,
)


def connection_manager(stat_prefix: str, *, filters: Sequence[Json] = (), **fields: Any) -> Json:
    """The network filter that speaks HTTP, with what edge, own ports and gate have in common."""
    settings: Json = {
        "stat_prefix": stat_prefix,
        "generate_request_id": False,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s",
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "http2_protocol_options": {
            "allow_connect": True,
            "initial_stream_window_size": STREAM_WINDOW_BYTES,
            "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
        },
        "http_filters": [*filters, ROUTER],
        "local_reply_config": {"mappers": list(COMPLAINTS)},
        **fields,
    }
    name = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return extension("envoy.filters.network.http_connection_manager", name, **settings)
