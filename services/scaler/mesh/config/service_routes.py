"""The routes of one service: below `/api/NAME` for programs, and at an origin of its own for people.

Order decides: what must never count as use comes first, then what goes elsewhere, then the service itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.catalog.model import Port, Service
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json
from services.scaler.mesh.config.map_back import mounted
from services.scaler.mesh.names import SERVICE_HEADER, Lane, cluster_name, header_value

HUB_PATH = "/.hub/"
"""Kept for the hub on every origin of a service: the waiting page asks there."""
PREFIX_HEADER = "x-forwarded-prefix"

MONITORS = (
    "Uptime-Kuma", "kube-probe", "Prometheus/", "Blackbox", "UptimeRobot", "GoogleHC", "ELB-HealthChecker",
    "Consul Health Check", "Pingdom", "StatusCake", "Better Uptime", "Gatus", "Zabbix", "check_http", "Homepage/",
)  # fmt: skip
"""Programs that only look whether somebody is there; they neither wake a service nor keep it awake."""

RETRY: Json = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 8,
    "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.1s"},
}
"""Only what never reached the program is sent again. The refusal has ejected the endpoint, so a retry goes to the gate
as soon as Envoy's main thread has told its workers: mostly the first, and a busy main thread gets half a second.
(A retry plugin that names the next priority would do it at once, and cost every warm request a microsecond.) Set once
for each virtual host."""

_HEAD = ("GET", "HEAD")


def api_routes(service: Service, *, origin: tuple[str, int] | None) -> list[Json]:
    """Routes of what lies below the service's path. `origin`: host and port that browsers are sent on to, or None."""
    main = service.http_ports[0]
    mount = service.path
    routes = _health(service, main)
    routes += [_background(service, main, _exact(mount + path), path, mount) for path in service.wake.ignore_paths]
    return routes + _mounted(service, main, {"prefix": f"{mount}/"}, origin)


def bare_routes(service: Service, *, origin: tuple[str, int] | None) -> list[Json]:
    """Routes of the path itself, without a slash: a prefix that held for both would rewrite to `//`."""
    return _mounted(service, service.http_ports[0], _exact(service.path), origin)


def _mounted(service: Service, port: Port, match: Json, origin: tuple[str, int] | None) -> list[Json]:
    use = _to(service, port, Lane.USE, match, "/", service.path)
    pages = [_redirect(match, headers, origin) for headers in _NAVIGATION] if service.web and origin else []
    return [_background(service, port, _by_monitor(match, service), "/", service.path), *pages, _keyless(use), use]


def origin_routes(service: Service, port: Port) -> list[Json]:
    """Routes of a host or port that is the service's alone."""
    asked = {SERVICE_HEADER: service.name}
    hub = {"match": {"prefix": HUB_PATH}, "route": {"cluster": common.HUB_ADMIN, "timeout": "15s"}}
    anything = {"prefix": "/"}
    return [
        {**hub, "request_headers_to_add": common.overwrite(asked)},
        *(_background(service, port, _exact(path)) for path in service.wake.ignore_paths),
        _background(service, port, _by_monitor(anything, service)),
        _keyless(_to(service, port, Lane.USE, anything)),
        _to(service, port, Lane.USE, anything),
    ]


def _exact(path: str) -> Json:
    return {"path": path}


def _with(match: Json, headers: Sequence[Json]) -> Json:
    return {**match, "headers": list(headers)}


def _by_monitor(match: Json, service: Service) -> Json:
    names = "|".join(re.escape(name) for name in (*MONITORS, *service.wake.ignore_agents))
    agent = {"name": "user-agent", "string_match": {"safe_regex": {"regex": f"(?i).*(?:{names}).*"}}}
    return _with(match, [agent])


def _method(name: str) -> Json:
    return {"name": ":method", "string_match": {"exact": name}}


_NAVIGATION = (
    [_method("GET"), {"name": "sec-fetch-mode", "string_match": {"exact": "navigate"}}],
    [
        _method("GET"),
        {"name": "sec-fetch-mode", "present_match": False},
        {"name": "accept", "string_match": {"contains": "text/html"}},
    ],
)
"""A browser opens a page; the second form is one that does not send Sec-Fetch headers."""


def _health(service: Service, port: Port) -> list[Json]:
    """`GET /api/NAME/health`: the service's own answer while it is awake, its state while it is not."""
    routes: list[Json] = []
    for method in _HEAD:
        match = _with(_exact(f"{service.path}/health"), [_method(method)])
        if service.health == "tcp":
            view = {"cluster": common.HUB_ADMIN, "timeout": "15s", "prefix_rewrite": f"/api/health/{service.name}"}
            routes.append({"match": match, "route": view, "request_headers_to_remove": [SERVICE_HEADER]})
        else:
            routes.append(_to(service, port, Lane.HEALTH, match, service.health, service.path))
    return routes


def _background(service: Service, port: Port, match: Json, rewrite: str | None = None, mount: str = "") -> Json:
    return _to(service, port, Lane.BACKGROUND, match, rewrite, mount)


def _to(service: Service, port: Port, lane: Lane, match: Json, rewrite: str | None = None, mount: str = "") -> Json:
    action: Json = {
        "cluster": cluster_name(service.name, port.name, background=lane is not Lane.USE),
        "timeout": "0s",
    }
    headers = {SERVICE_HEADER: header_value(service.name, port, lane)}
    route: Json = {"match": match, "route": action}
    if rewrite is not None:
        action["prefix_rewrite"] = rewrite
        headers[PREFIX_HEADER] = mount
        route["metadata"] = mounted(mount)
    route["request_headers_to_add"] = common.overwrite(headers)
    return route


def _keyless(route: Json) -> Json:
    """HTTP/2 opens a websocket without a key (RFC 8441), and the HTTP/1.1 server behind insists on one. What it answers
    to the key is for HTTP/1.1 clients alone."""
    upgrade: Json = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
    keyless: list[Json] = [upgrade, {"name": "sec-websocket-key", "present_match": False}]
    added = [*route["request_headers_to_add"], *common.overwrite({"sec-websocket-key": "aHViLW92ZXItaHR0cC8yIQ=="})]
    return {**route, "match": _with(route["match"], keyless), "request_headers_to_add": added}


def _redirect(match: Json, headers: Sequence[Json], origin: tuple[str, int]) -> Json:
    host, port = origin
    target = {"host_redirect": host, "port_redirect": port, "prefix_rewrite": "/", "response_code": "FOUND"}
    return {"match": _with(match, headers), "redirect": target}
