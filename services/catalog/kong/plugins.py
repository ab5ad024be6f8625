"""Plugins of the rendered file: those of every request, and those of one route class.

Owns what each plugin is told. Everything stands in a service's own list or in the global one, never under a consumer,
where Kong takes most plugins and does nothing with them.
"""

from __future__ import annotations

import re
from typing import Any

from services.catalog.kong.classes import LIMITS, RouteClass, upload
from services.catalog.kong.markers import DOMAIN_PATTERN
from services.catalog.model import Service

Json = dict[str, Any]

KEY_AUTH = "key-auth"
KEY_HEADER = "apikey"
_OWN_ORIGINS = (
    r"^https?://([a-z0-9-]+\.)*localhost(:[0-9]+)?$",
    rf"^https?://([a-z0-9-]+\.)*{DOMAIN_PATTERN}(:[0-9]+)?$",
)
"""Always expressions: a plain origin that stands alone is told to every caller, whatever its own."""
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_EXPOSED = ["X-Request-ID", "X-Hub-State", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]


def of_everything() -> list[Json]:
    """The global plugins: ids, figures, and which pages of other origins may read an answer."""
    request_id = {"header_name": "X-Request-ID", "generator": "uuid", "echo_downstream": True}
    figures = {"per_consumer": False, "status_code_metrics": True, "latency_metrics": True, "bandwidth_metrics": True}
    return [
        {"name": "correlation-id", "config": request_id},
        {"name": "prometheus", "config": figures},
        _cors(()),
    ]


def of_class(route_class: RouteClass, megabytes: int | None) -> list[Json]:
    limits = LIMITS[route_class]
    rate: Json = {"minute": limits.minute, "policy": "local", "fault_tolerant": True}
    if limits.second is not None:
        rate = {"second": limits.second, **rate}
    # A caller without a key is known by its address alone.
    rate["limit_by"] = "consumer" if limits.key else "ip"
    plugins: list[Json] = [{"name": "rate-limiting", "config": rate}]
    if megabytes is not None:
        size = {"allowed_payload_size": megabytes, "size_unit": "megabytes", "require_content_length": False}
        plugins.append({"name": "request-size-limiting", "config": size})
    return [_key_auth(), *plugins] if limits.key else plugins


def of_service(service: Service, route_class: RouteClass) -> list[Json]:
    """Raises ValueError where the service's upload label is no size."""
    plugins = of_class(route_class, upload(service, route_class))
    if service.wake.allow_origins and route_class is not RouteClass.GRPC:
        plugins.append(_cors(service.wake.allow_origins))
    return plugins


def _key_auth() -> Json:
    """Not in the query, where every log would show it; not in the body, which Kong would have to swallow first."""
    return {
        "name": KEY_AUTH,
        "config": {
            "key_names": [KEY_HEADER],
            "key_in_header": True,
            "key_in_query": False,
            "key_in_body": False,
            "hide_credentials": True,
            "run_on_preflight": True,
        },
    }


def _cors(origins: tuple[str, ...]) -> Json:
    """Pages of the hub's own origins and of those given. Which headers a page may send is not narrowed: clients of
    these services send names of their own, and a key is needed all the same."""
    others = [f"^{re.escape(origin)}$" for origin in origins]
    return {
        "name": "cors",
        "config": {
            "origins": [*_OWN_ORIGINS, *others],
            "methods": list(_METHODS),
            "exposed_headers": list(_EXPOSED),
            "credentials": False,
            "max_age": 3600,
            "preflight_continue": False,
        },
    }
