"""A model of how Kong 3.9 chooses a route (router flavour `traditional_compatible`, its default).

A route whose matchers all fit is ranked by how many kinds of matchers it has, then by how many headers, then an
expression before a plain path, then by its longest plain path, whichever of its paths was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.catalog.kong.document import Document, KongService, Route


@dataclass(frozen=True, slots=True)
class Request:
    host: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False


def chosen(document: Document, request: Request) -> tuple[KongService, Route] | None:
    """The service and route that answer; None: Kong itself says 404. Fails where chance would decide."""
    found = [
        (_rank(route), service, route)
        for service in document.services
        for route in service.routes
        if _fits(route, request)
    ]
    if not found:
        return None
    best = max(rank for rank, _, _ in found)
    first = [(service, route) for rank, service, route in found if rank == best]
    assert len(first) == 1, [route.name for _, route in first]
    return first[0]


def _fits(route: Route, request: Request) -> bool:
    # The router knows gRPC as HTTP; only afterwards it is looked whether a request is of the kind.
    tls = bool(route.protocols & {"https", "grpcs"})
    plain = bool(route.protocols & {"http", "grpc"})
    return (
        (tls if request.tls else plain)
        and (not route.hosts or request.host.partition(":")[0] in route.hosts)
        and (not route.methods or request.method in route.methods)
        and (not route.paths or any(_path_fits(path, request.path) for path in route.paths))
        and all(request.headers.get(name, "").lower() in values for name, values in (route.headers or {}).items())
    )


def _path_fits(path: str, asked: str) -> bool:
    if path.startswith("~"):
        # As Rust's expressions have it: the end is the end, not a line break before it.
        return re.match(path[1:].replace("$", r"\Z"), asked) is not None
    return asked.startswith(path)


def _rank(route: Route) -> tuple[int, int, bool, int, int]:
    kinds = sum(bool(matchers) for matchers in (route.methods, route.hosts, route.paths, route.headers))
    expression = any(path.startswith("~") for path in route.paths)
    longest = max((len(path) for path in route.paths if not path.startswith("~")), default=0)
    return kinds, len(route.headers or {}), expression, route.regex_priority if expression else 0, longest
