"""What a file must hold to be this hub's public edge, beyond what Kong would refuse: mistakes it takes without a word.

Owns the rules that need no catalogue. Whether each service is reached by its own addresses alone is shown by tests,
with a model of Kong's router.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from services.catalog.kong.classes import RouteClass
from services.catalog.kong.document import Document, KongService, Plugin, Problem, Route
from services.catalog.kong.plugins import KEY_AUTH
from services.catalog.kong.render import AFTER_HOLD, CHANGING, READING

_GLOBAL = ("correlation-id", "prometheus", "cors")
_OF_CONSUMERS = frozenset({"rate-limiting", "request-size-limiting"})
"""All that a consumer's own plugin can do something with; the others are silently useless there."""


def broken(document: Document, *, keys: bool) -> list[Problem]:
    """Every law that the file breaks. `keys`: whether it must ask for keys (prod), or must not (dev)."""
    laws: tuple[Callable[[Document], Iterator[Problem]], ...] = (
        _global_plugins,
        _consumers,
        lambda found: _keys(found, keys),
    )
    problems = [problem for law in laws for problem in law(document)]
    for service in document.services:
        place = f"services.{service.name}"
        problems += [*_service(service, place), *_class_plugins(service, place)]
        for route in service.routes:
            problems += _route(route, service, f"{place}.routes.{route.name}")
    routes = [route for service in document.services for route in service.routes]
    return [*problems, *_origins(document), *_same(routes)]


def route_class(service: KongService) -> RouteClass | None:
    """By the last part of the service's name."""
    word = service.name.rpartition(".")[2]
    return RouteClass(word) if word in list(RouteClass) else None


def _service(service: KongService, place: str) -> Iterator[Problem]:
    if route_class(service) is None:
        yield Problem(f"{place}.name", f"a name that ends in one of {', '.join('.' + c for c in RouteClass)}")
    if service.retries != 0:
        yield Problem(f"{place}.retries", "0: what is sent twice may be done twice", str(service.retries))
    least = int(AFTER_HOLD * 1000)
    if service.read_timeout != service.write_timeout or service.read_timeout <= least:
        wanted = f"read_timeout and write_timeout alike, and above {least}"
        yield Problem(place, wanted, f"{service.read_timeout} and {service.write_timeout}")
    if service.connect_timeout > least:
        yield Problem(f"{place}.connect_timeout", f"at most {least}: Envoy is next door", str(service.connect_timeout))
    if not service.routes:
        yield Problem(f"{place}.routes", "at least one: nothing else leads to the service")


def _route(route: Route, service: KongService, place: str) -> Iterator[Problem]:
    for name, value, wanted, reason in (
        ("strip_path", route.strip_path, False, "Envoy knows the services by their prefixes"),
        ("preserve_host", route.preserve_host, True, "Envoy knows the services by their hosts"),
        ("request_buffering", route.request_buffering, False, "a large upload would fill Kong's disk"),
        ("response_buffering", route.response_buffering, False, "a stream would arrive in one piece at its end"),
    ):
        if value is not wanted:
            yield Problem(f"{place}.{name}", f"{str(wanted).lower()}: {reason}")
    if not route.hosts or not route.paths:
        yield Problem(place, "hosts and paths: a path under another's host would mean something else to Envoy")
    plain = [path for path in route.paths if not path.startswith("~")]
    if len(plain) > 1 or (plain and len(route.paths) > 1):
        yield Problem(
            f"{place}.paths", "one plain path alone: Kong ranks a route by its longest, whichever is asked for"
        )
    if (service.url.startswith("grpc")) is not ("grpc" in route.protocols):
        yield Problem(f"{place}.protocols", "gRPC routes to gRPC services, and no others")
    if "grpc" in route.protocols and "content-type" not in (route.headers or {}):
        yield Problem(f"{place}.headers", "a content-type: Kong's router cannot tell gRPC from HTTP otherwise")
    if route_class(service) is RouteClass.HEALTH:
        yield from _keyless(route, place)


def _keyless(route: Route, place: str) -> Iterator[Problem]:
    """Without a key, nothing may be reached but what was meant."""
    for path in route.paths:
        if not path.startswith("~") or not path.endswith("$") or ".*" in path or ".+" in path:
            yield Problem(
                f"{place}.paths", "whole paths, as ~/…$: a plain path is a prefix, open to all below it", path
            )
    if not route.methods or not set(route.methods) <= set(READING):
        yield Problem(f"{place}.methods", f"{' and '.join(READING)} alone: anything else may wake a service")


def _class_plugins(service: KongService, place: str) -> Iterator[Problem]:
    found = {plugin.name: plugin for plugin in service.plugins}
    for plugin in service.plugins:
        if not plugin.enabled:
            yield Problem(f"{place}.plugins.{plugin.name}.enabled", "true, or no such plugin")
    for route in service.routes:
        for plugin in route.plugins:
            yield Problem(
                f"{place}.routes.{route.name}.plugins.{plugin.name}", "in the service: classes have them, not routes"
            )
    if "rate-limiting" not in found:
        yield Problem(f"{place}.plugins", "rate-limiting")
    grpc = route_class(service) is RouteClass.GRPC
    if grpc and "request-size-limiting" in found:
        yield Problem(
            f"{place}.plugins.request-size-limiting", "none for gRPC: Kong would wait for the end of a stream"
        )
    if not grpc and "request-size-limiting" not in found:
        yield Problem(f"{place}.plugins", "request-size-limiting")
    if route_class(service) is RouteClass.SETTINGS and any(
        not set(r.methods) <= set(CHANGING) or not r.methods for r in service.routes
    ):
        yield Problem(
            f"{place}.routes", f"{', '.join(CHANGING)} alone: pages that only look need more than this class allows"
        )


def _global_plugins(document: Document) -> Iterator[Problem]:
    names = [plugin.name for plugin in document.plugins if plugin.enabled]
    for name in _GLOBAL:
        if name not in names:
            yield Problem("plugins", f"{name} for every request")
    for name in names:
        if name not in _GLOBAL:
            yield Problem(f"plugins.{name}", "in each service: there is no exception from a plugin of every request")


def _consumers(document: Document) -> Iterator[Problem]:
    for consumer in document.consumers:
        place = f"consumers.{consumer.name}"
        for plugin in consumer.plugins:
            if plugin.name not in _OF_CONSUMERS:
                yield Problem(
                    f"{place}.plugins.{plugin.name}", "in a service: under a consumer Kong takes it and does nothing"
                )
        if not consumer.keys:
            yield Problem(f"{place}.keyauth_credentials", "a key, or nobody can be this consumer")


def _keys(document: Document, keys: bool) -> Iterator[Problem]:
    if keys and not document.consumers:
        yield Problem("consumers", "at least one, or nobody has a key")
    for service in document.services:
        found = next((plugin for plugin in service.plugins if plugin.name == KEY_AUTH), None)
        wanted = keys and route_class(service) is not RouteClass.HEALTH
        place = f"services.{service.name}.plugins"
        if wanted and found is None:
            yield Problem(place, f"{KEY_AUTH}: everything but health asks for a key")
        if found is not None and not wanted:
            yield Problem(f"{place}.{KEY_AUTH}", "no key for health" if keys else "no keys in dev")
        if found is not None:
            yield from _key_auth(found, f"{place}.{KEY_AUTH}.config")


def _key_auth(plugin: Plugin, place: str) -> Iterator[Problem]:
    for name, wanted, reason in (
        ("hide_credentials", True, "a service must not see the key"),
        ("key_in_query", False, "every log shows the query"),
        ("key_in_body", False, "Kong would read the body first"),
    ):
        if plugin.config.get(name) is not wanted:
            yield Problem(f"{place}.{name}", f"{str(wanted).lower()}: {reason}")


def _origins(document: Document) -> Iterator[Problem]:
    everywhere = [("plugins", document.plugins)]
    for place, plugins in [*everywhere, *((f"services.{s.name}.plugins", s.plugins) for s in document.services)]:
        for plugin in plugins:
            origins = plugin.config.get("origins")
            if plugin.name != "cors" or not isinstance(origins, list):
                continue
            if len(origins) == 1 and not str(origins[0]).startswith("^"):
                wanted = "an expression, or several origins: one plain origin is told to every caller, whatever its own"
                yield Problem(f"{place}.cors.config.origins", wanted, str(origins[0]))


def _same(routes: Sequence[Route]) -> Iterator[Problem]:
    """Two routes that Kong could not rank: which of them wins would be chance."""
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        for path in route.paths:
            by_path.setdefault(path, []).append(route)
    for path, found in by_path.items():
        for one, other in combinations(found, 2):
            if _rank(one) == _rank(other) and set(one.hosts) & set(other.hosts) and _meet(one.methods, other.methods):
                yield Problem(f"routes.{other.name}", f"a match of its own; {one.name} has the same", path)


def _rank(route: Route) -> tuple[bool, bool]:
    return bool(route.methods), bool(route.headers)


def _meet(one: Sequence[str], other: Sequence[str]) -> bool:
    return not one or not other or bool(set(one) & set(other))
