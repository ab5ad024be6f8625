"""Rules between services: names that exist, addresses and paths that are one service's own, no cycles.

Owns what can only be said when all services are known. It runs over all of them at every reading, changed or not, so
it looks at each service a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from services.catalog.addresses import collide
from services.catalog.faults import Findings
from services.catalog.model import Local, Publish, Service
from services.catalog.placeholders import WORDS, bare, forms
from services.catalog.tree import Path, Table, Value, where

_SHOWN = 10
_OF_A_SHELL = re.compile(r"\d?>{1,2}(?:&\d)?\S*|&>\S*|<\S*|\|{1,2}|&{1,2}|;")
"""Words that only a shell understands."""


@dataclass(frozen=True, slots=True)
class Services:
    """All services of a reading, as text and as values."""

    tree: Table
    good: Mapping[str, Service]
    disabled: frozenset[str]
    """Those whose profiles are not enabled."""
    on_profile: frozenset[str]
    """Those that compose starts with the profile on-demand only."""


def check(services: Services, findings: Findings) -> None:
    """Tell every fault between services."""
    _Check(services, findings).run()


class _Check:
    def __init__(self, services: Services, findings: Findings) -> None:
        self._all = services
        self._findings = findings

    def run(self) -> None:
        for service in self._all.good.values():
            self._dependencies(service)
            self._placeholders(service)
        self._addresses()
        self._paths()
        self._models()
        self._cycles()

    def _dependencies(self, service: Service) -> None:
        for dependency in service.depends_on:
            field: Path = ("depends_on", dependency.service)
            if dependency.required:
                self._known(service, field, dependency.service)
            if (
                dependency.required
                and dependency.service in self._all.on_profile
                and service.name not in self._all.on_profile
            ):
                hint = "without the profile, compose would refuse the whole file"
                self._tell(service, field, "required: false for a service on demand", dependency.service, hint)
        for name in service.uses:
            self._known(service, ("x-hub", "uses"), name)

    def _known(self, service: Service, field: Path, name: str) -> None:
        if name in self._all.disabled:
            self._tell(service, field, "a service that is enabled", name, "its profile is not")
        elif name not in self._all.tree:
            self._tell(service, field, "the name of a service", name, self._findings.near(name, self._all.tree))

    def _placeholders(self, service: Service) -> None:
        local = service.local
        if local is None:
            return
        command: Path = ("x-hub", "local", "command")
        texts: list[tuple[Path, str]] = [(command, word) for word in local.command]
        texts += [
            (("x-hub", "local", "environment", key), text) for key, text in local.environment.items() if "{" in text
        ]
        for field, text in texts:
            if "{" in text:
                self._forms(service, field, text)
        self._command(service, local, [text for _, text in texts])

    def _command(self, service: Service, local: Local, texts: list[str]) -> None:
        """What may be meant otherwise than it is read is no fault."""
        if service.ports and not any(form.word == "port" for text in texts for form in forms(text)):
            self._findings.note(
                "x-hub.local names no {port}, but the hub chooses one for each start; the program has to listen there",
                service.name,
            )
        if signs := [word for word in local.command if _OF_A_SHELL.fullmatch(word)]:
            what = " and ".join(dict.fromkeys(signs))
            self._findings.note(
                f"x-hub.local.command is run by no shell, so {what} goes to the program as it is: write"
                ' [sh, -c, "…"] where a shell is meant',
                service.name,
            )

    def _forms(self, service: Service, field: Path, text: str) -> None:
        ports = [port.name for port in service.ports]
        for form in forms(text):
            if form.word == "port" and form.name not in ports:
                known = ", ".join(ports) or "none"
                self._tell(service, field, f"a port of this service ({known})", f"{{port:{form.name}}}")
            elif form.word == "url" and (form.name not in self._all.tree or form.name in self._all.disabled):
                hint = self._findings.near(form.name, self._all.tree)
                self._tell(service, field, "the name of a service", f"{{url:{form.name}}}", hint)
        for word in bare(text):
            if hint := self._findings.near(word.partition(":")[0], WORDS):
                wanted = f"one of {', '.join('{' + known + '}' for known in WORDS)}"
                self._tell(service, field, wanted, f"{{{word}}}", hint)

    def _addresses(self) -> None:
        """Two services cannot listen at one address; an address of all interfaces includes every other one."""
        taken: dict[int, list[tuple[Service, Publish]]] = {}
        for service in self._all.good.values():
            for publish in service.publishes:
                others = taken.setdefault(publish.number, [])
                for other, theirs in others:
                    if overlap(theirs.host, publish.host):
                        self._address_taken(service, publish, other)
                        break
                others.append((service, publish))

    def _address_taken(self, service: Service, publish: Publish, other: Service) -> None:
        field: Path = ("ports",)
        hub = self._raw(service).get("x-hub")
        if isinstance(hub, Table) and "listen" in hub and publish.port == "main":
            field = ("x-hub", "listen")
        whose = "another of its ports" if other is service else f"{other.name} ({_place(other)})"
        self._tell(service, field, f"an address that is not taken by {whose}", str(publish))

    def _paths(self) -> None:
        taken: dict[str, Service] = {}
        for service in self._all.good.values():
            other = taken.setdefault(service.path, service)
            if other is not service:
                wanted = f"a path of its own; {other.name} ({_place(other)}) has it"
                self._tell(service, ("x-hub", "path"), wanted, service.path)

    def _models(self) -> None:
        taken: dict[str, str] = {}
        for service in self._all.good.values():
            for model in service.models:
                other = taken.setdefault(model, service.name)
                if other != service.name:
                    self._findings.note(f"model {model} is answered by {other}, which names it first", service.name)

    def _cycles(self) -> None:
        """Follows `depends_on` and `uses` once each; a service that is on the way already closes a cycle."""
        done: set[str] = set()
        for name in self._all.good:
            way: list[str] = []
            stack: list[tuple[str, bool]] = [(name, False)]
            while stack:
                at, leaving = stack.pop()
                if leaving:
                    way.pop()
                    done.add(at)
                elif at in way:
                    self._cycle([*way[way.index(at) :], at])
                elif at not in done:
                    way.append(at)
                    stack.append((at, True))
                    stack.extend((other, False) for other in self._needs(at))

    def _needs(self, name: str) -> Iterable[str]:
        service = self._all.good.get(name)
        if service is None:
            return ()
        return [other for other in (*(d.service for d in service.depends_on), *service.uses) if other != name]

    def _cycle(self, names: list[str]) -> None:
        service = self._all.good[names[0]]
        field: Path = ("x-hub", "uses") if names[1] in service.uses else ("depends_on", names[1])
        way = names if len(names) <= _SHOWN else [*names[: _SHOWN - 1], "…", names[-1]]
        self._tell(service, field, f"services that do not need each other in a circle: {' → '.join(way)}")

    def _raw(self, service: Service) -> Table:
        value: Value = self._all.tree.get(service.name)
        return value if isinstance(value, Table) else Table()

    def _tell(self, service: Service, inside: Path, wanted: str, value: object = ..., hint: str = "") -> None:
        raw = self._raw(service)
        mark = where(raw, inside) if inside and inside[0] in raw else self._all.tree.marks[service.name]
        self._findings.at(mark, ("services", service.name, *inside), wanted, value, hint)


def overlap(one: str, other: str) -> bool:
    """As `collide`, of addresses as `Publish.host` has them."""
    if not one or not other or one == other:
        return True
    return collide(*(ip_address("127.0.0.1" if host == "localhost" else host) for host in (one, other)))


def _place(service: Service) -> str:
    return f"line {service.source.line} of {service.source.file.rpartition('/')[2]}"
