"""The good file, spoilt in each way that Kong refuses or, worse, takes without a word: the reading must notice."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from services.catalog.kong import laws
from services.catalog.kong.document import KongFileError
from services.catalog.kong.reader import read
from services.catalog.kong.text import rendered
from tests.unit.kong.scene import KEY, finished

Json = dict[str, Any]
GOOD: Json = yaml.safe_load(finished())
Spoil = Callable[[Json], object]


def named(entities: list[Json], name: str) -> Json:
    return next(entity for entity in entities if entity["name"] == name)


def service(document: Json, name: str = "chroma.api") -> Json:
    return named(document["services"], name)


def route(document: Json, name: str = "chroma.api") -> Json:
    return service(document, name)["routes"][0]  # type: ignore[no-any-return]


def config(document: Json, plugin: str, name: str = "chroma.api") -> Json:
    return named(service(document, name)["plugins"], plugin)["config"]  # type: ignore[no-any-return]


def problems(document: Json) -> str:
    try:
        found = read(rendered(document))
    except KongFileError as error:
        return str(error)
    return "\n".join(str(problem) for problem in laws.broken(found, keys=True))


def put(table: Callable[[Json], Json], field: str, value: object) -> Spoil:
    return lambda document: table(document).update({field: value})


def drop(table: Callable[[Json], Json], field: str) -> Spoil:
    return lambda document: table(document).pop(field)


def rate(document: Json) -> Json:
    return config(document, "rate-limiting")


def size(document: Json) -> Json:
    return config(document, "request-size-limiting")


def everywhere(plugin: str) -> Callable[[Json], Json]:
    return lambda document: named(document["plugins"], plugin)["config"]  # type: ignore[no-any-return]


def key_auth(document: Json) -> Json:
    return config(document, "key-auth")


def second_key(document: Json) -> None:
    document["consumers"].append({"username": "alice", "keyauth_credentials": [{"key": KEY}]})


def twice(document: Json) -> None:
    plugins = service(document)["plugins"]
    plugins.append(copy.deepcopy(plugins[1]))


def same_name(entity: str) -> Spoil:
    def spoil(document: Json) -> None:
        if entity == "service":
            service(document)["name"] = "hubble.api"
        elif entity == "route":
            route(document)["name"] = route(document, "hubble.api")["name"]
        else:
            document["consumers"].append({"username": "owner", "keyauth_credentials": [{"key": KEY + "2"}]})

    return spoil


def nothing_to_match(document: Json) -> None:
    for field in ("hosts", "paths"):
        route(document).pop(field)


def under_a_consumer(plugin: Json) -> Spoil:
    return lambda document: document["consumers"][0].update(plugins=[plugin])


def is_text_number(document: Json) -> None:
    document["_format_version"] = 3.0


def same_match(document: Json) -> None:
    service(document)["routes"].append({**copy.deepcopy(route(document)), "name": "chroma.api.again"})


def another_loose_route(document: Json) -> None:
    document["routes"] = [{**copy.deepcopy(route(document)), "name": "loose", "service": "nobody.api"}]


REFUSED: dict[str, tuple[Spoil, str]] = {
    "unknown plugin": (put(lambda d: service(d)["plugins"][0], "name", "key-auht"), "key-auht"),
    "unknown field of a plugin": (put(rate, "minutes", 5), "rate-limiting.config.minutes"),
    "unknown field of a service": (put(service, "timeout", 5), "chroma.api.timeout"),
    "unknown field of a route": (put(route, "strip_prefix", True), "strip_prefix"),
    "unknown field of the file": (lambda d: d.update(upstream=[]), "kong.yml.upstream"),
    "wrong value of a plugin's field": (put(rate, "policy", "lokal"), "one of local"),
    "limit as text": (put(rate, "minute", "600"), "rate-limiting.config.minute"),
    "no limit at all": (lambda d: (rate(d).pop("second"), rate(d).pop("minute")), "at least one of second, minute"),
    "hour below minute": (put(rate, "hour", 100), "no fewer than for a minute, 600, not 100"),
    "minute below second": (put(rate, "minute", 10), "no fewer than for a second, 20, not 10"),
    "policy cluster": (put(rate, "policy", "cluster"), "one of local, not 'cluster'"),
    "policy redis without a host": (put(rate, "policy", "redis"), "one of local, not 'redis'"),
    "route of a missing service": (another_loose_route, "the name of a service of this file, not 'nobody.api'"),
    "plugin of a missing route": (
        lambda d: d["plugins"].append({"name": "prometheus", "route": "nobody"}),
        "the name of a route of this file, not 'nobody'",
    ),
    "duplicate key": (second_key, "a key that no other consumer has"),
    "same plugin twice in a service": (twice, "each plugin once for service chroma.api"),
    "same plugin twice for every request": (lambda d: d["plugins"].append(d["plugins"][0]), "once for every request"),
    "same plugin twice by a reference": (
        lambda d: d["plugins"].append({"name": "key-auth", "service": "chroma.api"}),
        "each plugin once for service chroma.api",
    ),
    "two services of one name": (same_name("service"), "a name that no other of all services has"),
    "two routes of one name": (same_name("route"), "a name that no other of all routes has"),
    "two consumers of one name": (same_name("consumer"), "a username that no other of all consumers has"),
    "route with nothing to match": (nothing_to_match, "something to match by"),
    "invalid expression": (put(route, "paths", ["~/api/(chroma$"]), "a valid expression"),
    "no format version": (lambda d: d.pop("_format_version"), "_format_version: this field, which must be there"),
    "format version unquoted": (is_text_number, "_format_version: one of 3.0"),
    "another format": (lambda d: d.update(_format_version="2.1"), "one of 3.0, not '2.1'"),
    "size as text": (put(size, "allowed_payload_size", "1MB"), "whole number"),
    "size as a fraction": (put(size, "allowed_payload_size", 1.5), "whole number"),
    "variable in a url": (put(service, "url", "http://${HUB_ENVOY_HOST}:8000"), "Kong expands no ${}"),
    "variable in a host": (put(route, "hosts", ["${HUB_DOMAIN}"]), "a host name without a port"),
    "time-out as text": (put(service, "read_timeout", "310s"), "whole number"),
    "time-out of nothing": (put(service, "read_timeout", 0), "whole number"),
    "path without a slash": (put(route, "paths", ["api/chroma"]), "a plain path that begins with /"),
    "path that is not normal": (put(route, "paths", ["/api//chroma"]), "no // or %"),
    "gRPC route with methods": (put(lambda d: route(d, "qdrant.grpc"), "methods", ["POST"]), "no methods"),
    "gRPC route that strips": (put(lambda d: route(d, "qdrant.grpc"), "strip_path", True), "no strip_path"),
    "gRPC and HTTP in one route": (put(route, "protocols", ["http", "grpc"]), "http and https, or grpc and grpcs"),
    "host twice": (put(route, "hosts", ["localhost", "localhost"]), "holds no value twice"),
    "name without its field": (drop(service, "url"), "url: this field, which must be there"),
}
"""By Kong, as one was seen to do or as its entities are described."""


TAKEN: dict[str, tuple[Spoil, str]] = {
    "expression without ~": (put(route, "paths", ["/api/chroma/.*$"]), "an expression begins with ~"),
    "cors under a consumer": (
        under_a_consumer({"name": "cors", "config": {"origins": ["https://a.example", "https://b.example"]}}),
        "under a consumer Kong takes it and does nothing",
    ),
    "key-auth under a consumer": (under_a_consumer({"name": "key-auth"}), "Kong takes it and does nothing"),
    "variable as a key": (
        lambda d: d["consumers"][0]["keyauth_credentials"][0].update(key="${HUB_GATEWAY_KEY}"),
        "Kong would take the reference itself for the key",
    ),
    "vault reference as a key": (
        lambda d: d["consumers"][0]["keyauth_credentials"][0].update(key="{vault://env/hub-key}"),
        "Kong would take the reference itself for the key",
    ),
    "a short key": (
        lambda d: d["consumers"][0]["keyauth_credentials"][0].update(key="secret"),
        "a key of at least 16 signs",
    ),
    "one plain origin": (put(everywhere("cors"), "origins", ["https://a.example"]), "told to every caller"),
    "an origin that is not anchored": (
        put(everywhere("cors"), "origins", ["example.org$", "^https://a$"]),
        "from ^http",
    ),
    "sent twice": (put(service, "retries", 5), "retries: 0"),
    "retries left to Kong": (drop(service, "retries"), "retries: 0"),
    "time-outs left to Kong": (drop(service, "read_timeout"), "read_timeout and write_timeout alike"),
    "prefix stripped": (put(route, "strip_path", True), "strip_path: false"),
    "prefix left to Kong": (drop(route, "strip_path"), "strip_path: false"),
    "host changed": (put(route, "preserve_host", False), "preserve_host: true"),
    "uploads buffered": (drop(route, "request_buffering"), "request_buffering: false"),
    "streams buffered": (put(route, "response_buffering", True), "response_buffering: false"),
    "path under any host": (drop(route, "hosts"), "hosts and paths"),
    "several plain paths": (put(route, "paths", ["/api/chroma", "/api/c"]), "one plain path alone"),
    "open service": (lambda d: service(d)["plugins"].pop(0), "everything but health asks for a key"),
    "key in the query": (put(key_auth, "key_in_query", True), "every log shows the query"),
    "key in the query left to Kong": (drop(key_auth, "key_in_query"), "every log shows the query"),
    "key shown to the service": (put(key_auth, "hide_credentials", False), "must not see the key"),
    "key in the body": (put(key_auth, "key_in_body", True), "key_in_body: false"),
    "key-auth switched off": (put(lambda d: service(d)["plugins"][0], "enabled", False), "enabled: true"),
    "key for health": (
        lambda d: service(d, "chroma.health")["plugins"].append(copy.deepcopy(service(d)["plugins"][0])),
        "no key for health",
    ),
    "health as a prefix": (put(lambda d: route(d, "chroma.health"), "paths", ["/api/chroma/health"]), "whole paths"),
    "health by POST": (put(lambda d: route(d, "chroma.health"), "methods", ["GET", "POST"]), "GET and HEAD alone"),
    "health by any method": (drop(lambda d: route(d, "chroma.health"), "methods"), "GET and HEAD alone"),
    "no limit of requests": (lambda d: service(d)["plugins"].pop(1), "plugins: rate-limiting"),
    "no limit of size": (lambda d: service(d)["plugins"].pop(2), "plugins: request-size-limiting"),
    "size of a gRPC stream": (
        lambda d: service(d, "qdrant.grpc")["plugins"].append(copy.deepcopy(service(d)["plugins"][2])),
        "wait for the end of a stream",
    ),
    "gRPC that is told apart by nothing": (drop(lambda d: route(d, "qdrant.grpc"), "headers"), "a content-type"),
    "gRPC to a service of HTTP": (
        put(lambda d: service(d, "qdrant.grpc"), "url", "http://envoy:8000"),
        "gRPC routes to gRPC services",
    ),
    "settings that also look": (drop(lambda d: route(d, "hub.settings"), "methods"), "pages that only look"),
    "no ids": (lambda d: d["plugins"].pop(0), "correlation-id for every request"),
    "no figures": (lambda d: d["plugins"].pop(1), "prometheus for every request"),
    "no cors": (lambda d: d["plugins"].pop(2), "cors for every request"),
    "a key for every request": (
        lambda d: d["plugins"].append(copy.deepcopy(service(d)["plugins"][0])),
        "no exception from a plugin of every request",
    ),
    "nobody has a key": (lambda d: d.pop("consumers"), "at least one, or nobody has a key"),
    "a consumer without a key": (
        lambda d: d["consumers"].append({"username": "alice"}),
        "consumers.alice.keyauth_credentials: a key",
    ),
    "two routes of one match": (same_match, "a match of its own; chroma.api.path has the same"),
    "a service without routes": (drop(service, "routes"), "nothing else leads to the service"),
    "a class that is none": (put(service, "name", "chroma.other"), "a name that ends in one of"),
}
"""Kong would take it."""


def test_the_good_file_is_good() -> None:
    assert problems(GOOD) == ""


@pytest.mark.parametrize("how", REFUSED)
def test_what_kong_refuses_is_refused_here(how: str) -> None:
    spoil, told = REFUSED[how]
    document = copy.deepcopy(GOOD)
    spoil(document)
    with pytest.raises(KongFileError) as caught:
        read(rendered(document))
    assert told in str(caught.value)


@pytest.mark.parametrize("how", TAKEN)
def test_what_kong_takes_though_it_is_a_mistake_is_found(how: str) -> None:
    spoil, told = TAKEN[how]
    document = copy.deepcopy(GOOD)
    spoil(document)
    assert told in problems(document)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "one document, a mapping"),
        ("- services", "one document, a mapping"),
        ("a: [", "this is no YAML"),
        (finished() + "\nservices: []\n", "each key once"),
        (finished().replace('_format_version: "3.0"', "_format_version: 3.0"), "_format_version: one of 3.0"),
        ('_format_version: "3.0"\nservices: [chroma]\n', "services[0]: a mapping, not 'chroma'"),
        ('_format_version: "3.0"\nservices: chroma\n', "kong.yml.services: a list, not 'chroma'"),
    ],
)
def test_text_that_is_no_such_file_is_refused(text: str, told: str) -> None:
    with pytest.raises(KongFileError) as caught:
        read(text)
    assert told in str(caught.value)


def test_all_problems_are_told_at_once_and_no_key_is_shown() -> None:
    document = copy.deepcopy(GOOD)
    rate(document)["minutes"] = 5
    service(document)["retries"] = "none"
    document["consumers"][0]["keyauth_credentials"][0]["key"] = "top secret that is ours"
    with pytest.raises(KongFileError) as caught:
        read(rendered(document))
    assert len(caught.value.problems) == 3
    assert "top secret" not in str(caught.value)


def test_in_dev_a_file_that_asks_for_keys_is_a_mistake() -> None:
    assert "no keys in dev" in "\n".join(str(problem) for problem in laws.broken(read(finished()), keys=False))
