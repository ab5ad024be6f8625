"""The routes of the edge, and what those of the services' own ports (`own_routes`) share with them.

Paths and hosts are found by trees, since a list costs the last of a thousand services half of its throughput. Envoy
takes one configuration from a file, and all own ports share theirs: every further subscription to a file would cost an
inotify instance.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from services.catalog.addresses import DOMAIN
from services.catalog.model import Catalog, Service
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.kept import Kept
from services.scaler.mesh.config.map_back import map_back_here
from services.scaler.mesh.config.matching import (
    MISDIRECTED,
    NOT_FOUND,
    Found,
    actions,
    both,
    header,
    refusal,
    routes_of,
)
from services.scaler.mesh.config.service_routes import (
    HUB_PATH,
    RETRY,
    Origin,
    api_routes,
    bare_routes,
    host_routes,
    monitor_routes,
    origin_monitor_routes,
)
from services.scaler.mesh.config.wire import Part
from services.scaler.mesh.names import SERVICE_HEADER

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
CONSOLE = "hub"
PREFIX_HEADER = "x-forwarded-prefix"
HEADERS = MappingProxyType({"x-forwarded-host": "%REQ(:AUTHORITY)%", SERVICE_HEADER: "%UPSTREAM_CLUSTER_RAW%"})
"""Set for every request where a route or a virtual host does not know better."""
_PREFIX = {"request_headers_to_add": common.overwrite({PREFIX_HEADER: "%ROUTE_NAME%"})}
"""Of hosts where services live below paths: a route to a service bears its path as name."""
NO_PREFIX = {"request_headers_to_remove": [PREFIX_HEADER]}
"""Of origins that are a service's own: only routes below a path may say where they are."""

# A page of somebody else's may give its own name the address of this machine, never a bare address: those are safe.
_ADDRESS_LITERAL = r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\])(?::\d+)?"


def rds(catalog: Catalog, place: Place, kept: Kept | None = None) -> Json:
    """Routes of the edge. `kept`: of this place; what it has of services that are the same is used again."""
    return configuration("edge", edge_hosts(catalog, place, kept or Kept()))


def edge_hosts(catalog: Catalog, place: Place, kept: Kept) -> list[Json]:
    """Virtual hosts of an edge."""
    port = place.people_port or place.edge.port
    domains = [DOMAIN, *([place.domain] if place.domain else [])]
    here = {"typed_per_filter_config": map_back_here(), **_PREFIX}
    hosts = [{"name": "api", "domains": known_names(place), **_api(catalog, kept, DOMAIN, port), **here}]
    if place.domain:
        hosts.append(
            {"name": "api-domain", "domains": [place.domain], **_api(catalog, kept, place.domain, port), **here}
        )
    hosts.append(_console(domains))
    hosts.append(_people(catalog, kept, domains))
    if _is_wide(place.edge.host):
        hosts.append({**strangers(_api(catalog, kept, None, port), place.names), **here})
    else:
        hosts.append(strangers())
    return hosts


def configuration(
    name: str, hosts: list[Json], headers: Mapping[str, str] = HEADERS, removed: Sequence[str] = ()
) -> Json:
    """What is said here holds for each route that does not know better, and whatever a client has said is overwritten.
    Of a thousand services only what differs is in the file: Envoy's main thread reads all of it at each change."""
    routes = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": name,
        "ignore_port_in_host_matching": True,
        "most_specific_header_mutations_wins": True,
        "request_headers_to_add": common.overwrite(headers),
        "request_headers_to_remove": list(removed),
        "virtual_hosts": [{**host, "retry_policy": RETRY} for host in hosts],
    }
    return {"resources": [routes]}


def known_names(place: Place) -> list[str]:
    host = place.edge.host
    mine = f"[{host}]" if ":" in host else host
    wild = host in ("", "0.0.0.0", "::") or mine in LOOPBACK_NAMES
    return [*LOOPBACK_NAMES, *([] if wild else [mine])]


def _people(catalog: Catalog, kept: Kept, domains: list[str]) -> Json:
    """`NAME.localhost`. The host is looked up with its port, by its beginning; whatever stands behind, the name ends in
    a domain of ours."""
    served = {
        f"{service.name}.{domain}": service
        for service in catalog.services.values()
        if service.http_ports
        for domain in domains
    }
    found = {host: _at_host(service, kept) for host, service in served.items()}
    use, looking = apart(found)
    wanted = [f"*.{domain}" for domain in domains]
    trees = both("prefix_match_map", header(":authority"), use, looking, MISDIRECTED)
    return {"name": "people", "domains": wanted, **trees, **NO_PREFIX}


def _console(domains: list[str]) -> Json:
    """Kept for the hub's console. It has a folder of its own at the hub's HTTP, so that nothing else there is shown."""
    route = {"cluster": common.HUB_ADMIN, "timeout": "15s", "prefix_rewrite": f"{HUB_PATH}console/"}
    hosts = [f"{CONSOLE}.{domain}" for domain in domains]
    routes = [{"match": {"prefix": "/"}, "route": route}]
    return {"name": "console", "domains": hosts, "request_headers_to_remove": [SERVICE_HEADER], "routes": routes}


def _api(catalog: Catalog, kept: Kept, domain: str | None, port: int) -> Json:
    """The `/api` tree. `domain`: where a service's own origin is for this host; None: nowhere that we know."""
    hub = actions([_hub_health({"path": "/api/health"}), _hub_health({"prefix": "/api/health/"})])
    use: dict[str, Json] = {"/api/health": hub}
    looking: dict[str, Json] = {"/api/health": hub}
    for service in catalog.services.values():
        if service.http_ports:
            origin = (f"{service.name}.{domain}", port) if domain else None
            below, bare, looked = kept.of(service, ("api", origin), partial(_below_path, service, origin))
            use |= {f"{service.path}/": below, service.path: bare}
            looking[service.path] = looked
    path = header(":path")
    return both("prefix_match_map", path, _with_outer(use), _with_outer(looking), _NOT_FOUND)


def _below_path(service: Service, origin: Origin) -> tuple[Json, Json, Json]:
    """Found below the service's path, at the path itself, and at either by a monitor."""
    lists = (api_routes(service, origin), bare_routes(service, origin), monitor_routes(service))
    below, bare, looked = (Part(actions(routes)) for routes in lists)
    return below, bare, looked


def _at_host(service: Service, kept: Kept) -> tuple[Json, Json]:
    """Found at its own host, and there by a monitor."""

    def made() -> tuple[Json, Json]:
        looking = origin_monitor_routes(service, service.http_ports[0])
        return Part(actions(host_routes(service))), Part(actions(looking))

    return kept.of(service, ("host",), made)


def apart(found: Mapping[str, tuple[Json, Json]]) -> tuple[Found, Found]:
    return {key: use for key, (use, _) in found.items()}, {key: looked for key, (_, looked) in found.items()}


def _with_outer(found: Found) -> Found:
    """The tree goes by the longest key and never back: `/api/a/bc` is found below `/api/a/b`, so that list must know
    the routes of `/api/a` too."""
    outer = {path: _outer(path, found) for path in found}
    return {path: actions([*routes_of(one), *outer[path]]) if outer[path] else one for path, one in found.items()}


def _outer(path: str, found: Found) -> list[Json]:
    parts = path.rstrip("/").split("/")
    shorter = ["/".join(parts[:n]) for n in range(len(parts) - 1, 1, -1)]
    keys = [key for outer in shorter for key in (f"{outer}/", outer) if key in found]
    return [route for key in keys for route in routes_of(found[key])]


def _hub_health(match: Json) -> Json:
    route = {"cluster": common.HUB_ADMIN, "timeout": "15s"}
    return {"match": match, "route": route, "request_headers_to_remove": [SERVICE_HEADER]}


def strangers(known: Json | None = None, names: Sequence[str] = ()) -> Json:
    """An unknown Host is misdirected; a bare address, or one of `names`, finds the way of `known`, a virtual host's
    matcher."""
    unknown: Json = {"name": "unknown", "domains": ["*"]}
    if known is None:
        return {**unknown, "routes": [MISDIRECTED]}
    safe = "|".join([_ADDRESS_LITERAL, *(rf"{re.escape(name)}(?::\d+)?" for name in names)])
    literal = {"google_re2": {}, "regex": safe}
    predicate = {"single_predicate": {"input": header(":authority"), "value_match": {"safe_regex": literal}}}
    matchers = {"matcher_list": {"matchers": [{"predicate": predicate, "on_match": known}]}}
    return {**unknown, "matcher": {**matchers, "on_no_match": actions([MISDIRECTED])}}


_NOT_FOUND = refusal(404, "not-found", NOT_FOUND)


def _is_wide(host: str) -> bool:
    return host != DOMAIN and ipaddress.ip_address(host.strip("[]") or "0.0.0.0").is_unspecified
