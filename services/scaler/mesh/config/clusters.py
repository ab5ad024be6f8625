"""Clusters: the lazy ones of the catalogue (the CDS file), and the hub's own few (in the bootstrap)."""

from __future__ import annotations

from functools import partial

from services.catalog.model import Catalog, Port, Protocol, Service
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.kept import Kept
from services.scaler.mesh.config.wire import Part
from services.scaler.mesh.names import cluster_name, stat_name

_CLUSTER = "envoy.config.cluster.v3.Cluster"

# Shorter than the keep-alive of every server we know (gunicorn's 2 s is the shortest): a connection that the program
# closes at the moment a request is written to it would cost that request.
_IDLE_CONNECTION = "1s"

# Nobody refuses a connection to a container that has just ended, for its address has gone with it. Who is not let in at
# once goes on to the gate, which has more patience.
_CONTAINER_CONNECTS = "1s"

# The first refused connection ejects the endpoint, so that the retry goes on to the gate, where the crash is repaired.
_EJECT_AT_ONCE: Json = {
    "consecutive_local_origin_failure": 1,
    "split_external_local_origin_errors": True,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_success_rate": 0,
    "interval": "0.5s",
    "base_ejection_time": "1s",
    "max_ejection_time": "2s",
    "max_ejection_percent": 100,
    "always_eject_one_host": True,
}


def cds(catalog: Catalog, kept: Kept | None = None) -> Json:
    """`kept`: what it has of services that are the same is used again."""
    kept, services = kept or Kept(), catalog.services.values()
    clusters = (kept.of(service, "clusters", partial(service_clusters, service)) for service in services)
    return {"resources": [cluster for found in clusters for cluster in found]}


def service_clusters(service: Service) -> list[Json]:
    found: list[Json] = []
    patience = _CONTAINER_CONNECTS if service.containers else common.CONNECT_TIMEOUT
    for port in service.ports:
        found.append(_lazy(cluster_name(service.name, port.name), port, patience))
        if port.protocol is not Protocol.TCP:
            found.append(_lazy(cluster_name(service.name, port.name, background=True), port, patience))
    return found


def _lazy(name: str, port: Port, patience: str) -> Json:
    cluster: Json = {
        "@type": f"type.googleapis.com/{_CLUSTER}",
        "name": name,
        "type": "EDS",
        "connect_timeout": patience,
        "per_connection_buffer_limit_bytes": common.BUFFER_BYTES,
        "eds_cluster_config": {
            "eds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "1s"},
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "circuit_breakers": common.MANY,
        "outlier_detection": _EJECT_AT_ONCE,
        "typed_extension_protocol_options": common.http_protocol(
            h2=port.protocol is Protocol.H2C, idle_timeout=_IDLE_CONNECTION
        ),
    }
    if stat_name(name) != name:
        cluster["alt_stat_name"] = stat_name(name)
    return Part(cluster)


def own_clusters(place: Place) -> list[Json]:
    return [
        _static(common.LAZYD, place.check),
        _static(common.HUB_ADMIN, place.admin),
        _ads(place.ads),
        _original_dst(common.GATE_DST, h2=False),
        _original_dst(common.GATE_DST_H2, h2=True),
    ]


def _static(name: str, path: str) -> Json:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": common.CONNECT_TIMEOUT,
        "per_connection_buffer_limit_bytes": common.BUFFER_BYTES,
        "circuit_breakers": common.MANY,
        "load_assignment": common.static_load(name, common.pipe(path)),
        "typed_extension_protocol_options": common.http_protocol(h2=False, idle_timeout="30s"),
    }


def _ads(path: str) -> Json:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    keepalive = {"connection_keepalive": {"interval": "5s", "timeout": "2s"}}
    return {
        "name": common.ADS,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": common.static_load(common.ADS, common.pipe(path)),
        "typed_extension_protocol_options": {
            options: common.typed(options, explicit_http_config={"http2_protocol_options": keepalive})
        },
    }


def _original_dst(name: str, *, h2: bool) -> Json:
    """Forwards to the address that the check endpoint named. A fresh connection per request: a pooled one would stay
    open while the program is frozen, and the program would close it under the first request after the thaw."""
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": common.CONNECT_TIMEOUT,
        "per_connection_buffer_limit_bytes": common.BUFFER_BYTES,
        "original_dst_lb_config": {"use_http_header": True},
        "cleanup_interval": "10s",
        "circuit_breakers": common.MANY,
        "typed_extension_protocol_options": common.http_protocol(h2=h2, max_requests_per_connection=1),
    }
