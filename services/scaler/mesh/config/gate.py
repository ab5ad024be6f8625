"""The gate: a listener on a unix socket whose every request is first shown to the check endpoint, headers only.

The check endpoint answers 200 with the replica's address in a header, or a code of `CODES`, or a plain 4xx. It cannot
answer 5xx: Envoy would read that as a fault of the endpoint and drop the body.
"""

from __future__ import annotations

from types import MappingProxyType

from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.names import H2C_MARK, SERVICE_HEADER

DESTINATION_HEADER = "x-envoy-original-dst-host"

CODES = MappingProxyType({200: 460, 502: 424, 503: 423, 501: 465})
"""Status that the client shall see → the code by which the check endpoint says so. Others (403, 404, 421, 429) as
they are."""

_SHOWN = (
    "accept", "content-type", "origin", SERVICE_HEADER, "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
    "upgrade", "user-agent", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto", "x-hub-wait",
)  # fmt: skip
_TOLD = (
    "cache-control", "content-security-policy", "content-type", "refresh", "referrer-policy", "retry-after", "vary",
    "x-content-type-options", "x-frame-options", "x-hub-state",
)  # fmt: skip


def gate_listener(place: Place) -> Json:
    mappers = [common.mapped(private, public) for public, private in CODES.items()]
    manager = common.connection_manager(
        "gate",
        filters=[_ext_authz()],
        early_header_mutation_extensions=[_no_destination()],
        route_config=_routes(),
        local_reply_config={"mappers": [common.TOO_LARGE_TO_REPEAT, _nobody_there(), common.BROKEN_OFF, *mappers]},
    )
    return {
        "name": "gate",
        "address": {"pipe": {"path": place.gate, "mode": 0o600}},
        "per_connection_buffer_limit_bytes": common.BUFFER_BYTES,
        "filter_chains": [{"filters": [manager]}],
    }


def _no_destination() -> Json:
    """Whatever destination a client has named is gone before the check endpoint names one."""
    return common.extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[{"remove": DESTINATION_HEADER}],
    )


def _routes() -> Json:
    h2c = [{"name": SERVICE_HEADER, "string_match": {"suffix": H2C_MARK}}]
    return {
        "name": "gate",
        "virtual_hosts": [
            {
                "name": "gate",
                "domains": ["*"],
                "request_headers_to_remove": [SERVICE_HEADER],
                "routes": [
                    {"match": {"prefix": "/", "headers": h2c}, "route": _forward(common.GATE_DST_H2)},
                    {"match": {"prefix": "/"}, "route": _forward(common.GATE_DST)},
                ],
            }
        ],
    }


def _forward(cluster: str) -> Json:
    # Only what certainly never reached the program is sent again, and once: the address may have no owner any more. The
    # gateway before this asks anew where to go.
    retry = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 1}
    return {"cluster": cluster, "timeout": "0s", "retry_policy": retry}


def _nobody_there() -> Json:
    header = common.NOBODY_THERE
    said = {"key": header["name"], "value": header["string_match"]["exact"]}
    message = "nobody takes connections at the address where the service answered a moment ago"
    body = {"error": {"code": "unreachable", "message": message, "retry_after_s": 1}}
    return {
        "filter": {"response_flag_filter": {"flags": ["UF", "URX"]}},
        "headers_to_add": [{"header": said, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
        "body_format_override": {"json_format": body},
    }


def _ext_authz() -> Json:
    limit = f"{common.LONGEST_HOLD + 60}s"
    return common.extension(
        "envoy.filters.http.ext_authz",
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        failure_mode_allow=False,
        status_on_error={"code": "ServiceUnavailable"},
        clear_route_cache=False,
        allowed_headers={"patterns": [{"exact": name} for name in _SHOWN]},
        http_service={
            "server_uri": {"uri": f"http://{common.LAZYD}", "cluster": common.LAZYD, "timeout": limit},
            "path_prefix": "/check",
            # max_interval is the limit of a single try as well, hence the longest hold. The socket of the check
            # endpoint outlives the scaler, so a retry waits in its backlog and the back-off stays small.
            "retry_policy": {
                "retry_on": "connect-failure,reset,refused-stream,gateway-error",
                "num_retries": 60,
                "retry_back_off": {"base_interval": "0.05s", "max_interval": limit},
            },
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": [{"exact": DESTINATION_HEADER}]},
                "allowed_client_headers": {"patterns": [{"exact": name} for name in _TOLD]},
            },
        },
    )
