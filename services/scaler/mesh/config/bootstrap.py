"""The bootstrap: what Envoy needs to come up by itself, with or without the scaler."""

from __future__ import annotations

from services.scaler.mesh.config import common
from services.scaler.mesh.config.clusters import own_clusters
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.gate import gate_listener
from services.scaler.mesh.config.listeners import edge_listener

CDS_FILE = "cds.pb"
LDS_FILE = "lds.json"


def bootstrap(place: Place, node: str, listeners: str = LDS_FILE) -> Json:
    """`listeners`: the file of those that come and go; the edge is static where that is the edge's own file."""
    service = {"cluster_name": common.ADS, "retry_policy": {"retry_back_off": _BACK_OFF}}
    return {
        "node": {"id": node, "cluster": "hub"},
        "admin": {"address": {"pipe": {"path": place.envoy_admin, "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": service}],
            },
            "cds_config": common.file_source(place.folder, CDS_FILE),
            "lds_config": common.file_source(place.folder, listeners),
        },
        "static_resources": {
            "listeners": [*([edge_listener(place)] if listeners == LDS_FILE else []), gate_listener(place)],
            "clusters": own_clusters(place),
        },
        # Counters of a cluster come into being with its first request: most of a thousand services never have one.
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        "layered_runtime": {"layers": [{"name": "hub", "static_layer": _RUNTIME}]},
        "overload_manager": _CONNECTIONS,
    }


_BACK_OFF = {"base_interval": "0.1s", "max_interval": "1s"}
# The names of monitors are one expression, a little longer than Envoy's cautious default.
_RUNTIME = {"re2.max_program_size.error_level": 20000, "re2.max_program_size.warn_level": 20000}
_CONNECTIONS = {
    "resource_monitors": [
        common.extension(
            "envoy.resource_monitors.global_downstream_max_connections",
            "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            max_active_downstream_connections=50000,
        )
    ]
}
