"""Listeners: the edge (in the bootstrap, it lives as long as Envoy) and the services' own ports (the LDS file)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.catalog.model import Catalog, Port, Protocol, Service
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.map_back import map_back_filter
from services.scaler.mesh.config.matching import NOT_FOUND, error
from services.scaler.mesh.config.own_routes import OWN_KEY, own_ports
from services.scaler.mesh.names import cluster_name

RDS_FILE = "rds.pb"
OWN_RDS_FILE = "rds-own.pb"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"


def edge_listener(place: Place) -> Json:
    nowhere = {"mappers": [*common.COMPLAINTS, _NO_ROUTE]}
    chain: Json = {"filters": [_manager(place, "edge", RDS_FILE, local_reply_config=nowhere)]}
    if place.tls is not None:
        chain["transport_socket"] = _tls(*place.tls)
    return listener("edge", place.edge.host, place.edge.port, [chain], place)


def lds(catalog: Catalog, place: Place) -> Json:
    """A listener per published port. Its text depends on its address alone, so no deployment drains its connections."""
    return {
        "resources": [
            {
                "@type": LISTENER,
                **listener(key, at.host, at.number, [_own_chain(key, service, port, place)], place),
            }
            for key, (service, port, at) in own_ports(catalog)
        ]
    }


def _own_chain(key: str, service: Service, port: Port, place: Place) -> Json:
    if port.protocol is Protocol.TCP:
        return {"filters": [tcp_proxy("own", cluster_name(service.name, port.name))]}
    manager = _published_manager if service.containers else _manager
    return {"filters": [note(OWN_KEY, key), manager(place, "own", OWN_RDS_FILE)]}


def tcp_proxy(stat_prefix: str, cluster: str) -> Json:
    message = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    settings = {"stat_prefix": stat_prefix, "cluster": cluster, "idle_timeout": "0s"}
    return common.extension("envoy.filters.network.tcp_proxy", message, **settings)


def note(key: str, value: str) -> Json:
    """Keeps a word with each connection, for `matching.filter_state` to find."""
    word = {"text_format_source": {"inline_string": value}}
    return common.extension(
        "envoy.filters.network.set_filter_state",
        "envoy.extensions.filters.network.set_filter_state.v3.Config",
        on_new_connection=[{"object_key": key, "factory_key": "envoy.string", "format_string": word}],
    )


def listener(name: str, host: str, port: int, chains: list[Json], place: Place) -> Json:
    made: Json = {
        "name": name,
        "address": common.bound(host, port, ipv6=place.ipv6),
        # Two Envoys would share the port silently, and answer by two configurations in turn.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": common.BUFFER_BYTES,
        "tcp_backlog_size": 4096,
        "filter_chains": chains,
    }
    if place.workers > 1:
        # The workers share one socket: without this, a few long connections may all land on the same one.
        made["connection_balance_config"] = {"exact_balance": {}}
    return made


# A path near those of a service, such as /api/chromas: its list of routes ends without an answer of ours.
_NO_ROUTE: Json = {
    "filter": {"response_flag_filter": {"flags": ["NR"]}},
    "body": {"inline_string": error("not-found", NOT_FOUND)},
    "body_format_override": {
        "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
        "content_type": "application/json",
    },
}


def _manager(place: Place, name: str, file: str, **fields: Any) -> Json:
    return routed_manager(
        place,
        name,
        file,
        filters=[map_back_filter(place)],
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        common_http_protocol_options=_NO_UNDERSCORES,
        **fields,
    )


def _published_manager(place: Place, name: str, file: str) -> Json:
    """A port that was the container's: its path chooses nothing here, and what a proxy before it says of its clients
    is as true as it was."""
    return routed_manager(place, name, file, common_http_protocol_options=_NO_UNDERSCORES, xff_num_trusted_hops=1)


_NO_UNDERSCORES: Json = {"headers_with_underscores_action": "DROP_HEADER"}


def routed_manager(place: Place, name: str, file: str, *, filters: Sequence[Json] = (), **fields: Any) -> Json:
    """The HTTP of a network socket. `name`: of its routes, which stand in `file`."""
    return common.connection_manager(
        name,
        filters=filters,
        upgrade_configs=[{"upgrade_type": "websocket", "filters": [*filters, _KEY, common.ROUTER]}],
        rds={"route_config_name": name, "config_source": common.file_source(place.folder, file)},
        use_remote_address=True,
        # Nobody is internal: else the x-envoy-* headers of clients on this machine would be orders to Envoy.
        internal_address_config={"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        server_header_transformation="PASS_THROUGH",
        **fields,
    )


# HTTP/2 opens a websocket without a key (RFC 8441), and the HTTP/1.1 server behind insists on one. What it answers to
# the key is for HTTP/1.1 clients alone.
_KEY = common.extension(
    "websocket-key",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    mutations={
        "request_mutations": [
            {
                "append": {
                    "header": {"key": "sec-websocket-key", "value": "aHViLW92ZXItaHR0cC8yIQ=="},
                    "append_action": "ADD_IF_ABSENT",
                }
            }
        ]
    },
)


def _tls(certificate: str, key: str) -> Json:
    pair = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
    return common.extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]},
    )
