"""Matchers of virtual hosts: inputs, trees, lists of routes as actions, and what Envoy answers by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json
from services.scaler.mesh.config.service_routes import monitors

Found = Mapping[str, Json]
"""Key in a tree → what is found there: made by `actions`, or a further `{"matcher": …}`."""

_ROUTES = "envoy.config.route.v3.RouteList"


def header(name: str) -> Json:
    return common.extension(name, "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=name)


def filter_state(key: str) -> Json:
    """What the listener has noted of the connection."""
    message = "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput"
    return common.extension("envoy.matching.inputs.filter_state", message, key=key)


def actions(routes: list[Json]) -> Json:
    return {"action": {"name": "routes", "typed_config": common.typed(_ROUTES, routes=routes)}}


def routes_of(actions: Json) -> list[Json]:
    routes: list[Json] = actions["action"]["typed_config"]["routes"]
    return routes


def tree(kind: str, key: Json, found: Found, otherwise: Json) -> Json:
    """`kind`: `exact_match_map` or `prefix_match_map`. `otherwise`: where nothing is found."""
    tree = {"matcher_tree": {"input": key, kind: {"map": found}}}
    # A tree without any entry is not allowed.
    return {**(tree if found else {}), "on_no_match": otherwise}


def both(kind: str, key: Json, use: Found, looking: Found, otherwise: Json) -> Json:
    """`matcher` of a virtual host: monitors have a tree of their own. One expression for all services: compiled once a
    route it would take a fifth of Envoy's memory. `otherwise`: the route where nothing is found."""
    last = actions([otherwise])
    agent = {"input": header("user-agent"), "value_match": {"safe_regex": {"google_re2": {}, "regex": monitors()}}}
    monitor = {"predicate": {"single_predicate": agent}, "on_match": {"matcher": tree(kind, key, looking, last)}}
    others = {"matcher": tree(kind, key, use, last)}
    return {"matcher": {"matcher_list": {"matchers": [monitor]}, "on_no_match": others}}


def error(code: str, message: str) -> str:
    return json.dumps({"error": {"code": code, "message": message}})


def refusal(status: int, code: str, message: str) -> Json:
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": status, "body": {"inline_string": error(code, message)}},
        "response_headers_to_add": common.overwrite({"content-type": "application/json"}),
    }


NOT_FOUND = "no such address here: services are at /api/NAME, /api/health lists them"
MISDIRECTED = refusal(
    421,
    "misdirected",
    "unknown host: use localhost, NAME.localhost or an address of this machine, or say --domain to `aihub up` for a "
    "domain of yours; /api/health of the hub lists services",
)
