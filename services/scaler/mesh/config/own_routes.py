"""The routes of the ports that belong to one service each: which those are, and by which names they answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from services.catalog.addresses import DOMAIN
from services.catalog.model import Catalog, Port, Protocol, Publish, Service
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.kept import Kept
from services.scaler.mesh.config.matching import MISDIRECTED, actions, both, filter_state
from services.scaler.mesh.config.routes import HEADERS, NO_PREFIX, apart, configuration, known_names, strangers
from services.scaler.mesh.config.service_routes import origin_monitor_routes, origin_routes
from services.scaler.mesh.config.wire import Part
from services.scaler.mesh.names import SERVICE_HEADER, cluster_name

OWN_KEY = "hub.own"
"""Filter state that an own port's listener sets: which service's port it is."""
_SERVICE = {SERVICE_HEADER: HEADERS[SERVICE_HEADER]}
_FORWARDED_HOST_KEPT: Json = {
    "header": {"key": "x-forwarded-host", "value": HEADERS["x-forwarded-host"]},
    "append_action": "ADD_IF_ABSENT",
}
OwnPort = tuple[Service, Port, Publish]
"""A service, its port, where the edge listens for it."""


def rds_own(catalog: Catalog, place: Place, kept: Kept | None = None) -> Json:
    """Routes of the services' own ports. `kept` as for `rds`."""
    kept = kept or Kept()
    ports = {key: own for key, own in own_ports(catalog) if own[1].protocol is not Protocol.TCP}
    if any(service.containers for service, *_ in ports.values()):
        return _published(ports, kept)
    names = [*known_names(place), f"*.{DOMAIN}", *([place.domain, f"*.{place.domain}"] if place.domain else [])]
    wide = {key: own for key, own in ports.items() if not _is_loopback(own[2].host)}
    hosts: list[Json] = [{"name": "own", "domains": names, **_by_listener(ports, kept), **NO_PREFIX}] if ports else []
    hosts.append({**strangers(_by_listener(wide, kept) if wide else None), **NO_PREFIX})
    return configuration("own", hosts)


def _published(ports: Mapping[str, OwnPort], kept: Kept) -> Json:
    """Ports that were containers' own: by whatever name they are asked, as they were before, and what was said of
    clients on the way stays."""
    made = configuration("own", [{"name": "own", "domains": ["*"], **_by_listener(ports, kept), **NO_PREFIX}])
    (routes,) = made["resources"]
    routes["request_headers_to_add"] = [_FORWARDED_HOST_KEPT, *common.overwrite(_SERVICE)]
    return made


def own_ports(catalog: Catalog) -> Iterable[tuple[str, OwnPort]]:
    """Key of each published port, `CLUSTER@ADDRESS` → what is behind it. One number may be published at several
    addresses, as of both families."""
    for service in catalog.services.values():
        if not service.lazy and service.local is None:
            continue  # runs in a container of its own, which publishes its ports itself
        names = {port.name: port for port in service.ports}
        for published in service.publishes:
            if published.port in names:
                key = f"{cluster_name(service.name, published.port)}@{published}"
                yield key, (service, names[published.port], published)


def _at_origin(service: Service, port: Port, kept: Kept) -> tuple[Json, Json]:
    """Found at a port of its own, and there by a monitor."""

    def made() -> tuple[Json, Json]:
        return Part(actions(origin_routes(service, port))), Part(actions(origin_monitor_routes(service, port)))

    return kept.of(service, ("origin", port.name), made)


def _by_listener(ports: Mapping[str, OwnPort], kept: Kept) -> Json:
    use, looking = apart({name: _at_origin(service, port, kept) for name, (service, port, _) in ports.items()})
    return both("exact_match_map", filter_state(OWN_KEY), use, looking, MISDIRECTED)


def _is_loopback(host: str) -> bool:
    return host == DOMAIN or ipaddress.ip_address(host.strip("[]") or "0.0.0.0").is_loopback
