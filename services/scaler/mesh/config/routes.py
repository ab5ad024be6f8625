"""The RDS files: `edge` for the one address of everything, `own` for the ports that belong to one service each.

Paths are found by a tree and hosts by virtual hosts, since a list costs the last of a thousand services half of its
throughput. Envoy takes one configuration from a file, and all own ports share theirs: every further subscription to a
file would cost an inotify instance.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping

from services.catalog.addresses import DOMAIN
from services.catalog.model import Catalog, Port, Protocol, Service
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.map_back import map_back_here
from services.scaler.mesh.config.service_routes import (
    HUB_PATH,
    PREFIX_HEADER,
    RETRY,
    api_routes,
    bare_routes,
    origin_routes,
)
from services.scaler.mesh.names import SERVICE_HEADER, cluster_name

_ROUTE = "envoy.config.route.v3.Route"
_ROUTES = "envoy.config.route.v3.RouteList"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
CONSOLE = "hub"
_NO_PREFIX = {"request_headers_to_remove": [PREFIX_HEADER]}
"""Of origins that are a service's own: only routes below a path may say where they are."""
OWN_KEY = "hub.own"
"""Filter state that an own port's listener sets: which service's port it is."""

# A page of somebody else's may give its own name the address of this machine, never a bare address: those are safe.
_ADDRESS_LITERAL = r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\])(?::\d+)?"


def rds(catalog: Catalog, place: Place) -> Json:
    """Routes of the edge."""
    port = place.edge.port
    domains = [DOMAIN, *([place.domain] if place.domain else [])]
    here = {"typed_per_filter_config": map_back_here()}
    hosts = [{"name": "api", "domains": _known(place), "matcher": _tree(catalog, DOMAIN, port), **here}]
    if place.domain:
        tree = _tree(catalog, place.domain, port)
        hosts.append({"name": "api-domain", "domains": [place.domain], "matcher": tree, **here})
    hosts.append(_console(domains))
    hosts.extend(_people(service, domains) for service in catalog.services.values() if service.http_ports)
    if _is_wide(place.edge.host):
        hosts.append({**_strangers(_tree(catalog, None, port)), **here})
    else:
        hosts.append(_strangers())
    return _configuration("edge", hosts)


def rds_own(catalog: Catalog, place: Place) -> Json:
    """Routes of the services' own ports."""
    known = [*_known(place), f"*.{DOMAIN}", *([place.domain, f"*.{place.domain}"] if place.domain else [])]
    ports = {key: own for key, own in own_ports(catalog) if own[1].protocol is not Protocol.TCP}
    every = _by_listener({key: origin_routes(service, port) for key, (service, port, _) in ports.items()})
    wide = {key: origin_routes(service, port) for key, (service, port, host) in ports.items() if not _is_loopback(host)}
    hosts: list[Json] = [{"name": "own", "domains": known, "matcher": every, **_NO_PREFIX}] if ports else []
    hosts.append({**_strangers(_by_listener(wide, _MISDIRECTED) if wide else None), **_NO_PREFIX})
    return _configuration("own", hosts)


def own_ports(catalog: Catalog) -> Iterable[tuple[str, tuple[Service, Port, str]]]:
    """Key of each published port, `CLUSTER@NUMBER` → its service, its port, the host it listens on."""
    for service in catalog.services.values():
        names = {port.name: port for port in service.ports}
        for published in service.publishes:
            if published.port in names:
                key = f"{cluster_name(service.name, published.port)}@{published.number}"
                yield key, (service, names[published.port], published.host)


def _configuration(name: str, hosts: list[Json]) -> Json:
    routes = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": name,
        "ignore_port_in_host_matching": True,
        "request_headers_to_add": common.overwrite({"x-forwarded-host": "%REQ(:AUTHORITY)%"}),
        "virtual_hosts": [{**host, "retry_policy": RETRY} for host in hosts],
    }
    return {"resources": [routes]}


def _known(place: Place) -> list[str]:
    host = place.edge.host
    mine = f"[{host}]" if ":" in host else host
    wild = host in ("", "0.0.0.0", "::") or mine in LOOPBACK_NAMES
    return [*LOOPBACK_NAMES, *([] if wild else [mine])]


def _people(service: Service, domains: list[str]) -> Json:
    return {
        "name": f"host-{service.name}",
        "domains": [f"{service.name}.{domain}" for domain in domains],
        **_NO_PREFIX,
        "routes": origin_routes(service, service.http_ports[0]),
    }


def _console(domains: list[str]) -> Json:
    """Kept for the hub's console. It has a folder of its own at the hub's HTTP, so that nothing else there is shown."""
    route = {"cluster": common.HUB_ADMIN, "timeout": "15s", "prefix_rewrite": f"{HUB_PATH}console/"}
    hosts = [f"{CONSOLE}.{domain}" for domain in domains]
    routes = [{"match": {"prefix": "/"}, "route": route}]
    return {"name": "console", "domains": hosts, "request_headers_to_remove": [SERVICE_HEADER], "routes": routes}


def _tree(catalog: Catalog, domain: str | None, port: int) -> Json:
    """The `/api` tree. `domain`: where a service's own origin is for this host; None: nowhere that we know."""
    lists: dict[str, list[Json]] = {}
    for service in catalog.services.values():
        if service.http_ports:
            origin = (f"{service.name}.{domain}", port) if domain else None
            lists[f"{service.path}/"] = api_routes(service, origin=origin)
            lists[service.path] = bare_routes(service, origin=origin)
    lists["/api/health"] = [_hub_health({"path": "/api/health"}), _hub_health({"prefix": "/api/health/"})]
    whole = {path: [*routes, *_outer(path, lists)] for path, routes in lists.items()}
    return _matcher({"prefix_match_map": {"map": {path: _actions(routes) for path, routes in whole.items()}}}, _path())


def _outer(path: str, lists: Mapping[str, list[Json]]) -> list[Json]:
    """The tree goes by the longest key and never back: `/api/a/bc` is found below `/api/a/b`, so that list must know
    the routes of `/api/a` too."""
    parts = path.rstrip("/").split("/")
    shorter = ("/".join(parts[:n]) + "/" for n in range(len(parts) - 1, 1, -1))
    return [route for outer in shorter for route in lists.get(outer, ())]


def _hub_health(match: Json) -> Json:
    route = {"cluster": common.HUB_ADMIN, "timeout": "15s"}
    return {"match": match, "route": route, "request_headers_to_remove": [SERVICE_HEADER]}


def _by_listener(lists: Mapping[str, list[Json]], otherwise: Json | None = None) -> Json:
    message = "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput"
    key = common.extension("envoy.matching.inputs.filter_state", message, key=OWN_KEY)
    return _matcher(
        {"exact_match_map": {"map": {name: _actions(routes) for name, routes in lists.items()}}}, key, otherwise
    )


def _matcher(tree: Json, key: Json, otherwise: Json | None = None) -> Json:
    missing = _actions([otherwise or _refusal(404, "no such address here")])
    return {"matcher_tree": {"input": key, **tree}, "on_no_match": missing}


def _path() -> Json:
    message = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    return common.extension("path", message, header_name=":path")


def _authority() -> Json:
    message = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    return common.extension("authority", message, header_name=":authority")


def _actions(routes: list[Json]) -> Json:
    return {"action": {"name": "routes", "typed_config": common.typed(_ROUTES, routes=routes)}}


def _strangers(tree: Json | None = None) -> Json:
    """An unknown Host is misdirected; a bare address finds the way where a tree is given for it."""
    unknown: Json = {"name": "unknown", "domains": ["*"]}
    if tree is None:
        return {**unknown, "routes": [_MISDIRECTED]}
    literal = {"google_re2": {}, "regex": _ADDRESS_LITERAL}
    predicate = {"single_predicate": {"input": _authority(), "value_match": {"safe_regex": literal}}}
    matcher = {
        "matcher_list": {"matchers": [{"predicate": predicate, "on_match": {"matcher": tree}}]},
        "on_no_match": _actions([_MISDIRECTED]),
    }
    return {**unknown, "matcher": matcher}


def _refusal(status: int, message: str) -> Json:
    body = json.dumps({"error": {"code": "misdirected" if status == 421 else "not-found", "message": message}})
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": common.overwrite({"content-type": "application/json"}),
    }


_MISDIRECTED = _refusal(421, "unknown host")


def _is_wide(host: str) -> bool:
    return host != DOMAIN and ipaddress.ip_address(host.strip("[]") or "0.0.0.0").is_unspecified


def _is_loopback(host: str) -> bool:
    return host == DOMAIN or ipaddress.ip_address(host.strip("[]") or "0.0.0.0").is_loopback
