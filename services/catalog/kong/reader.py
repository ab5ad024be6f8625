"""Text → document, as Kong itself would take it, or everything that Kong would refuse.

Owns form, fields, references and what may be there only once. Nothing here can ask a Kong: what is refused is what a
real one was seen to refuse, and every field that `schema` does not know. What Kong takes without a word though it is a
mistake is `laws`' to find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from services.catalog.faults import show
from services.catalog.kong import schema
from services.catalog.kong.document import Consumer, Document, KongFileError, KongService, Plugin, Problem, Route
from services.catalog.yaml_reader import YamlFault
from services.catalog.yaml_reader import read as read_yaml

Table = Mapping[str, Any]
T = TypeVar("T")
_PERIODS = ("second", "minute", "hour", "day", "month", "year")
_SCOPES = ("service", "route", "consumer")
_MATCHERS = ("hosts", "paths", "methods", "headers")


def read(text: str) -> Document:
    """The document of a filled file. Raises KongFileError with every problem of its form."""
    try:
        trees, faults = read_yaml(text.encode(), "kong.yml")
    except YamlFault as error:
        raise KongFileError([Problem("kong.yml", str(error))]) from None
    problems = [Problem(f"line {fault.line}", fault.expected, fault.value or "") for fault in faults]
    if len(trees) != 1 or not isinstance(trees[0], Mapping):
        raise KongFileError([*problems, Problem("kong.yml", "one document, a mapping")])
    reader = _Reader(problems)
    document = reader.document(trees[0])
    if problems or document is None:
        raise KongFileError(problems)
    return document


class _Reader:
    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._seen: set[tuple[str, ...]] = set()

    def document(self, root: Table) -> Document | None:
        if not self._fields(root, schema.ROOT, "kong.yml"):
            return None
        services = list(_tables(root.get("services")))
        names = {"service": {str(s.get("name")) for s in services}}
        loose = list(_tables(root.get("routes")))
        nested = [route for service in services for route in _tables(service.get("routes"))]
        names["route"] = {str(route.get("name")) for route in (*nested, *loose)}
        names["consumer"] = {str(c.get("username")) for c in _tables(root.get("consumers"))}
        self._references(root, loose, names)
        scoped = list(_tables(root.get("plugins")))

        def plugins_of(scope: str, name: object) -> list[Table]:
            return [plugin for plugin in scoped if plugin.get(scope) == name]

        def service(table: Table, place: str) -> KongService | None:
            own = [route for route in loose if route.get("service") == table.get("name")]
            return self._service(table, place, own, plugins_of)

        found = self._each(root.get("services"), "services", "name", service)
        consumers = self._each(root.get("consumers"), "consumers", "username", self._consumer)
        everywhere = [plugin for plugin in scoped if not any(scope in plugin for scope in _SCOPES)]
        return Document(found, self._plugins(everywhere, "plugins", "every request"), consumers)

    def _service(
        self, table: Table, place: str, loose: list[Table], plugins_of: Callable[[str, object], list[Table]]
    ) -> KongService | None:
        good = self._fields(table, schema.SERVICE, place)

        def route(inner: Table, where: str) -> Route | None:
            return self._route(inner, where, plugins_of("route", inner.get("name")))

        routes = self._each([*_tables(table.get("routes")), *loose], f"{place}.routes", "name", route)
        plugins = [*_tables(table.get("plugins")), *plugins_of("service", table.get("name"))]
        found = self._plugins(plugins, f"{place}.plugins", f"service {table.get('name')}")
        if not good:
            return None
        times = ("retries", "connect_timeout", "read_timeout", "write_timeout")
        numbers = {name: int(table[name]) for name in times if name in table}
        tags = tuple(table.get("tags", ()))
        return KongService(table["name"], table["url"], **numbers, tags=tags, routes=routes, plugins=found)

    def _route(self, table: Table, place: str, scoped: list[Table]) -> Route | None:
        good = self._fields(table, schema.ROUTE, place)
        plugins = [*_tables(table.get("plugins")), *scoped]
        found = self._plugins(plugins, f"{place}.plugins", f"route {table.get('name')}")
        if not any(name in table for name in _MATCHERS):
            self._tell(place, f"something to match by: {', '.join(_MATCHERS)}")
        if not good:
            return None
        protocols = frozenset(table.get("protocols", ("http", "https")))
        grpc = protocols & {"grpc", "grpcs"}
        if grpc and grpc != protocols:
            self._tell(f"{place}.protocols", "http and https, or grpc and grpcs")
        if grpc and (table.get("strip_path") or "methods" in table):
            self._tell(place, "no strip_path and no methods on a gRPC route")
        flags = ("strip_path", "preserve_host", "request_buffering", "response_buffering")
        headers = {name.lower(): tuple(values) for name, values in table.get("headers", {}).items()}
        return Route(
            table["name"],
            protocols,
            hosts=tuple(table.get("hosts", ())),
            paths=tuple(table.get("paths", ())),
            methods=tuple(table.get("methods", ())),
            headers=headers,
            regex_priority=table.get("regex_priority", 0),
            plugins=found,
            **{name: table[name] for name in flags if name in table},
        )

    def _consumer(self, table: Table, place: str) -> Consumer | None:
        good = self._fields(table, schema.CONSUMER, place)
        keys: list[str] = []
        for index, credential in enumerate(_tables(table.get("keyauth_credentials"))):
            where = f"{place}.keyauth_credentials[{index}]"
            if self._fields(credential, schema.CREDENTIAL, where):
                keys.append(credential["key"])
                self._once(("key", credential["key"]), where, "a key that no other consumer has")
        plugins = self._plugins(list(_tables(table.get("plugins"))), f"{place}.plugins", place)
        return Consumer(table["username"], tuple(keys), plugins) if good else None

    def _plugins(self, tables: list[Table], place: str, scope: str) -> tuple[Plugin, ...]:
        found: list[Plugin] = []
        for index, table in enumerate(tables):
            name = table.get("name")
            where = f"{place}.{name or index}"
            if not self._fields(table, schema.PLUGIN, where):
                continue
            record = schema.PLUGINS.get(str(name))
            if record is None:
                self._tell(f"{where}.name", f"one of {', '.join(schema.PLUGINS)}", name)
                continue
            self._once(("plugin", scope, str(name)), where, f"each plugin once for {scope}")
            config = table.get("config", {})
            if self._fields(config, record, f"{where}.config"):
                self._limits(str(name), config, f"{where}.config")
                found.append(Plugin(str(name), config, table.get("enabled", True)))
        return tuple(found)

    def _limits(self, name: str, config: Table, place: str) -> None:
        if name != "rate-limiting":
            return
        given = [(period, config[period]) for period in _PERIODS if period in config]
        if not given:
            self._tell(place, f"a limit for at least one of {', '.join(_PERIODS)}")
        for (shorter, fewer), (longer, more) in pairwise(given):
            if more < fewer:
                self._tell(f"{place}.{longer}", f"no fewer than for a {shorter}, {fewer}", more)

    def _references(self, root: Table, loose: list[Table], names: Mapping[str, set[str]]) -> None:
        for place, entities in (("routes", loose), ("plugins", list(_tables(root.get("plugins"))))):
            for entity in entities:
                where = f"{place}.{entity.get('name')}"
                named = [scope for scope in _SCOPES if scope in entity]
                if place == "routes" and "service" not in named:
                    self._tell(where, "the name of its service")
                if len(named) > 1:
                    self._tell(where, f"one scope at most, not {' and '.join(named)}")
                for scope in named:
                    if entity[scope] not in names[scope]:
                        self._tell(f"{where}.{scope}", f"the name of a {scope} of this file", entity[scope])

    # -- what all of them need -----------------------------------------------------------------------------------------

    def _each(self, values: object, place: str, naming: str, make: Callable[[Table, str], T | None]) -> tuple[T, ...]:
        found: list[T] = []
        for index, value in enumerate(values if isinstance(values, Sequence) and not isinstance(values, str) else ()):
            if not isinstance(value, Mapping):
                self._tell(f"{place}[{index}]", "a mapping", value)
                continue
            name = value.get(naming)
            where = f"{place}.{name}" if isinstance(name, str) else f"{place}[{index}]"
            kind = place.rpartition(".")[2]
            self._once((kind, str(name)), where, f"a {naming} that no other of all {kind} has")
            if (made := make(value, where)) is not None:
                found.append(made)
        return tuple(found)

    def _fields(self, table: Table, record: schema.Record, place: str) -> bool:
        """Whether every field is known and right, and none is missing."""
        before = len(self._problems)
        for name, value in table.items():
            check = record.fields.get(name)
            if check is None:
                self._tell(f"{place}.{name}", f"one of the fields {', '.join(record.fields)}")
            elif wanted := check(value):
                self._tell(f"{place}.{name}", wanted, None if name == "key" else value)
        for name in sorted(record.required - set(table)):
            self._tell(f"{place}.{name}", "this field, which must be there")
        return len(self._problems) == before

    def _once(self, what: tuple[str, ...], place: str, wanted: str) -> None:
        if what in self._seen:
            self._tell(place, wanted)
        self._seen.add(what)

    def _tell(self, place: str, wanted: str, value: object = None) -> None:
        self._problems.append(Problem(place, wanted, "" if value is None else show(value)))


def _tables(values: object) -> Iterable[Table]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []
