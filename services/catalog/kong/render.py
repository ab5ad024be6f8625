"""Catalogue → Kong's declarative document: one Kong service for each catalogue service and route class, all to Envoy.

Owns which addresses the public edge has. Envoy owns what they mean: paths go on unchanged (`strip_path: false`), hosts
too, and Kong only looks at keys, limits and sizes. Routes name their hosts always, so that no path can be asked for
under a host where Envoy would understand something else by it; what needs no key is matched whole, by an expression
and by method. Pure, and the same for the same catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from services.catalog.addresses import DOMAIN as LOCALHOST
from services.catalog.kong import markers, plugins
from services.catalog.kong.classes import LIMITS, RouteClass, is_public
from services.catalog.model import RESERVED_NAMES, Catalog, Protocol, Service, Tier, Wake

Json = dict[str, Any]

FORMAT = "3.0"
HUB = "hub"
"""Kong services that belong to no service of the catalogue; no service may have this name."""
OWNER = "owner"
ENVOY_PORT = 8000
AFTER_HOLD = 10.0
"""Seconds that Kong waits beyond the longest hold: the hub's own answer about it must come through."""
CONNECT_TIMEOUT = 5.0
"""Seconds; Envoy is next door and always there."""
BASE_HOSTS = (LOCALHOST, "127.0.0.1", markers.DOMAIN)
READING = ("GET", "HEAD")
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
GRPC_TYPES = ("application/grpc", "application/grpc+proto", "application/grpc+json")


@dataclass(frozen=True, slots=True)
class _Route:
    """What a request has to have for a route to be meant. Never several plain paths: Kong ranks a route by the longest
    of its paths, whichever of them was asked for."""

    hosts: Sequence[str]
    paths: Sequence[str]
    methods: Sequence[str] = ()
    suffix: str = ""
    """Tells routes of one Kong service apart in their names."""
    headers: dict[str, list[str]] = field(default_factory=dict)


def render(catalog: Catalog) -> Json:
    """The document, with key-auth and with its markers open. Raises ValueError where a label is not what it
    should be."""
    served = [service for service in catalog.services.values() if is_served(service)]
    paths = frozenset(service.path for service in served)
    hold = max((service.wake.hold for service in served), default=Wake().hold)
    return {
        "_format_version": FORMAT,
        "services": [*_hub(hold), *(entry for service in served for entry in _entries(service, paths))],
        "plugins": plugins.of_everything(),
        "consumers": [{"username": OWNER, "keyauth_credentials": [{"key": markers.OWNER_KEY}]}],
    }


def is_served(service: Service) -> bool:
    """Whether the public edge leads to it: all that speaks HTTP, but for what the hub itself stands on and does not open
    by a label. Raises ValueError as `is_public`."""
    return bool(service.http_ports) and (service.tier is not Tier.INFRA or is_public(service))


def hosts_of(name: str) -> tuple[str, ...]:
    return (f"{name}.{LOCALHOST}", f"{name}.{markers.DOMAIN}")


def expression(path: str) -> str:
    """A path and nothing else, in the form that Kong takes for an expression."""
    return f"~{re.sub(r'[.]', r'[.]', path)}$"


def _hub(hold: float) -> Iterator[Json]:
    """`/api/health` for monitors, the console, and the names that the hub keeps for itself."""
    own = sorted(RESERVED_NAMES - {"health", HUB})
    wide = [_Route(BASE_HOSTS, [f"/api/{name}"], suffix=name) for name in (HUB, *own)]
    openai = _Route(BASE_HOSTS, ["/v1"], suffix="openai")
    console = _Route(hosts_of(HUB), ["/"], suffix="console")
    changes = _Route(BASE_HOSTS, [f"/api/{HUB}/"], CHANGING, "paths")
    changed = _Route(hosts_of(HUB), ["/"], CHANGING, "console")
    health = _Route(BASE_HOSTS, [expression("/api/health"), "~/api/health/[a-z0-9-]+$"], READING)
    for route_class, routes in (
        (RouteClass.HEALTH, [health]),
        (RouteClass.SETTINGS, [changes, changed]),
        (RouteClass.PAGES, [console]),
        (RouteClass.API, [openai, *wide]),
    ):
        largest = RouteClass.SETTINGS if route_class is RouteClass.PAGES else route_class
        found = plugins.of_class(route_class, LIMITS[largest].upload)
        yield _service(HUB, route_class, hold, routes, found)


def _entries(service: Service, taken: frozenset[str]) -> Iterator[Json]:
    """`taken`: the paths of all services; another service may stand where this one's health would be asked for."""
    hold, path, hosts = service.wake.hold, service.path, hosts_of(service.name)
    by_path, by_host = _Route(BASE_HOSTS, [path], suffix="path"), _Route(hosts, ["/"], suffix="host")
    routes: list[tuple[RouteClass, list[_Route]]] = []
    if f"{path}/health" not in taken:
        routes.append((RouteClass.HEALTH, [_Route(BASE_HOSTS, [expression(f"{path}/health")], READING)]))
    routes.append((RouteClass.API, [by_path] if service.web else [by_path, by_host]))
    if service.web:
        routes.append((RouteClass.PAGES, [by_host]))
    if grpc := list(_grpc_routes(service, hosts)):
        routes.append((RouteClass.GRPC, grpc))
    for route_class, found in routes:
        yield _service(service.name, route_class, hold, found, plugins.of_service(service, route_class))


def _grpc_routes(service: Service, hosts: Sequence[str]) -> Iterator[_Route]:
    """By host for any port that speaks gRPC, below the path where the service's own does. The content type tells such
    a request from others: Kong's router knows both as HTTP."""
    headers = {"content-type": list(GRPC_TYPES)}
    if any(port.protocol is Protocol.H2C for port in service.http_ports):
        yield _Route(hosts, ["/"], suffix="host", headers=headers)
    if service.http_ports[0].protocol is Protocol.H2C:
        yield _Route(BASE_HOSTS, [f"{service.path}/"], suffix="path", headers=headers)


def _service(name: str, route_class: RouteClass, hold: float, routes: Iterable[_Route], found: list[Json]) -> Json:
    own = f"{name}.{route_class}"
    patience = ceil((hold + AFTER_HOLD) * 1000)
    scheme = "grpc" if route_class is RouteClass.GRPC else "http"
    return {
        "name": own,
        "url": f"{scheme}://{markers.ENVOY_HOST}:{ENVOY_PORT}",
        "retries": 0,
        "connect_timeout": int(CONNECT_TIMEOUT * 1000),
        "read_timeout": patience,
        "write_timeout": patience,
        "tags": [name, str(route_class)],
        "routes": [_route(own, route, scheme) for route in routes],
        "plugins": found,
    }


def _route(service: str, route: _Route, scheme: str) -> Json:
    matched: Json = {"hosts": list(route.hosts), "paths": list(route.paths)}
    if route.methods:
        matched["methods"] = list(route.methods)
    if route.headers:
        matched["headers"] = dict(route.headers)
    return {
        "name": f"{service}.{route.suffix}" if route.suffix else service,
        "protocols": [scheme, f"{scheme}s"],
        **matched,
        "strip_path": False,
        "preserve_host": True,
        "request_buffering": False,
        "response_buffering": False,
    }
