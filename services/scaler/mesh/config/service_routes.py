"""The routes of one service: below `/api/NAME` for programs, and at an origin of its own for people.

Order decides: what must never count as use comes first, then what goes elsewhere, then the service itself. Requests of
monitors are told apart before (in `routes`), and have lists of their own here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.catalog.model import Port, Protocol, Service
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json
from services.scaler.mesh.names import INSIDE_MARK, SERVICE_HEADER, Lane, cluster_name, header_value

HUB_PATH = "/.hub/"
"""Kept for the hub on every origin of a service: the waiting page asks there."""
_MONITORS = (
    "Uptime-Kuma", "kube-probe", "Prometheus/", "Blackbox", "UptimeRobot", "GoogleHC", "ELB-HealthChecker",
    "Consul Health Check", "Pingdom", "StatusCake", "Better Uptime", "Gatus", "Zabbix", "check_http", "Homepage/",
    "aihub-models/",
)  # fmt: skip
"""Programs that only look whether somebody is there; they neither wake a service nor keep it awake. The last is the
adapter's list of models."""

Origin = tuple[str, int] | None
"""Host and port of a service's own origin, where it has one that this host's users can reach."""

RETRY: Json = {
    "retry_on": "connect-failure,refused-stream,reset-before-request,retriable-headers",
    "retriable_headers": [common.NOBODY_THERE],
    "num_retries": 8,
    "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.1s"},
}
"""Only what never reached the program is sent again, also where the gate says so: who was there a moment ago has died,
and the next question finds that out. The refusal has ejected the endpoint, so a retry goes to the gate
as soon as Envoy's main thread has told its workers: mostly the first, and a busy main thread gets half a second.
(A retry plugin that names the next priority would do it at once, and cost every warm request a microsecond.) Set once
for each virtual host."""


def monitors(names: Sequence[str] = _MONITORS) -> str:
    """Expression for the user agents of programs that only look; RE2, the whole header."""
    return f"(?i).*(?:{'|'.join(re.escape(name) for name in names)}).*"


def api_routes(service: Service, origin: Origin) -> list[Json]:
    """Of what lies below the service's path."""
    main, mount = service.http_ports[0], service.path
    below: Json = {"prefix": f"{mount}/"}
    return [
        _health(service, main),
        *(_to(service, main, Lane.BACKGROUND, _exact(mount + p), p, mount) for p in service.wake.ignore_paths),
        *_ignored_agents(service, main, below, "/", mount),
        *_pages(service, below, origin),
        _to(service, main, Lane.USE, below, "/", mount),
    ]


def bare_routes(service: Service, origin: Origin) -> list[Json]:
    """Of the path itself, without a slash: a prefix that held for both would rewrite to `//`."""
    main, mount = service.http_ports[0], service.path
    bare = _exact(mount)
    ignored = _ignored_agents(service, main, bare, "/", mount)
    return [*ignored, *_pages(service, bare, origin), _to(service, main, Lane.USE, bare, "/", mount)]


def monitor_routes(service: Service) -> list[Json]:
    """Below the path, and the path itself, for a monitor."""
    main, mount = service.http_ports[0], service.path
    matches = ({"prefix": f"{mount}/"}, _exact(mount))
    return [_health(service, main), *(_to(service, main, Lane.BACKGROUND, match, "/", mount) for match in matches)]


def origin_routes(service: Service, port: Port) -> list[Json]:
    """Of a port that is the service's alone."""
    return [_hub(service), *name_routes(service, port)]


def host_routes(service: Service) -> list[Json]:
    """Of a host that is the service's alone: its main port, and for gRPC the port that speaks it."""
    main = service.http_ports[0]
    speaking = next((port for port in service.http_ports if port.protocol is Protocol.H2C), main)
    calls = [] if speaking is main else [_to(service, speaking, Lane.USE, _with({"prefix": "/"}, _GRPC))]
    return [_hub(service), *calls, *name_routes(service, main)]


def name_routes(service: Service, port: Port, *, inside: bool = False) -> list[Json]:
    """Of a name where every path is the service's. `inside`: in a container network, for programs."""
    anything: Json = {"prefix": "/"}
    return [
        *(_to(service, port, Lane.BACKGROUND, _exact(p), inside=inside) for p in service.wake.ignore_paths),
        *_ignored_agents(service, port, anything, inside=inside),
        _to(service, port, Lane.USE, anything, inside=inside),
    ]


def name_monitor_routes(service: Service, port: Port, *, inside: bool = False) -> list[Json]:
    return [_to(service, port, Lane.BACKGROUND, {"prefix": "/"}, inside=inside)]


def origin_monitor_routes(service: Service, port: Port) -> list[Json]:
    return [_hub(service), *name_monitor_routes(service, port)]


def _hub(service: Service) -> Json:
    route = {"match": {"prefix": HUB_PATH}, "route": {"cluster": common.HUB_ADMIN, "timeout": "15s"}}
    return {**route, "request_headers_to_add": common.overwrite({SERVICE_HEADER: service.name})}


def _exact(path: str) -> Json:
    return {"path": path}


def _with(match: Json, *headers: Json) -> Json:
    return {**match, "headers": list(headers)}


def _method(name: str) -> Json:
    return {"name": ":method", "string_match": {"exact": name}}


_GRPC: Json = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}


def _ignored_agents(
    service: Service, port: Port, match: Json, rewrite: str | None = None, mount: str = "", *, inside: bool = False
) -> list[Json]:
    if not service.wake.ignore_agents:
        return []
    expression = {"safe_regex": {"regex": monitors(service.wake.ignore_agents)}}
    agent = {"name": "user-agent", "string_match": expression}
    return [_to(service, port, Lane.BACKGROUND, _with(match, agent), rewrite, mount, inside=inside)]


_NAVIGATION = (
    (_method("GET"), {"name": "sec-fetch-mode", "string_match": {"exact": "navigate"}}),
    (
        _method("GET"),
        {"name": "sec-fetch-mode", "present_match": False},
        {"name": "accept", "string_match": {"contains": "text/html"}},
    ),
)
"""A browser opens a page; the second form is one that does not send Sec-Fetch headers."""


def _pages(service: Service, match: Json, origin: Origin) -> list[Json]:
    """Browsers go on to the origin of a service that has pages."""
    if not service.web or origin is None:
        return []
    host, port = origin
    target = {"host_redirect": host, "port_redirect": port, "prefix_rewrite": "/", "response_code": "FOUND"}
    return [{"match": _with(match, *headers), "redirect": target} for headers in _NAVIGATION]


def _health(service: Service, port: Port) -> Json:
    """`GET /api/NAME/health`: the service's own answer while it is awake, its state while it is not. HEAD as well; a
    POST there is a use like any other."""
    no_post = {**_method("POST"), "invert_match": True}
    match = _with(_exact(f"{service.path}/health"), no_post)
    if service.health != "tcp":
        return _to(service, port, Lane.HEALTH, match, service.health, service.path)
    view = {"cluster": common.HUB_ADMIN, "timeout": "15s", "prefix_rewrite": f"/api/health/{service.name}"}
    return {"match": match, "route": view, "request_headers_to_remove": [SERVICE_HEADER]}


def _to(
    service: Service,
    port: Port,
    lane: Lane,
    match: Json,
    rewrite: str | None = None,
    mount: str = "",
    *,
    inside: bool = False,
) -> Json:
    """What holds for every route (see `routes`) is not said again here: a thousand services have ten thousand routes.
    The header that names the service is its cluster's name, marked where it is `inside`, unless this route knows
    better; `mount`, the path at which the service is seen, is the route's name."""
    cluster = cluster_name(service.name, port.name, background=lane is not Lane.USE)
    action: Json = {"cluster": cluster, "timeout": "0s"}
    route: Json = {"match": match, "route": action}
    if rewrite is not None:
        action["prefix_rewrite"] = rewrite
        route["name"] = mount
    header = header_value(service.name, port, lane, inside=inside)
    if header != cluster + (INSIDE_MARK if inside else ""):
        route["request_headers_to_add"] = common.overwrite({SERVICE_HEADER: header})
    return route
