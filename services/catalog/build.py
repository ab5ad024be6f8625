"""One service of the tree → one `Service` value, or the faults why not.

Owns the rules between the fields of a single service: its tier and laziness, replica bounds, defaults, the digest.
Rules between services are `check`'s. A service depends on nothing but its own text, its env_files and its lock, which
is what lets an unchanged one be taken over from the reading before.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from types import MappingProxyType

from services.catalog import fields, keys, known, units
from services.catalog.containers import containers, ends
from services.catalog.digest import container_digest, digest
from services.catalog.environment import env_files
from services.catalog.extension import extension
from services.catalog.faults import Findings
from services.catalog.listening import Guess, Listening, is_tcp
from services.catalog.local import LocalReader
from services.catalog.model import (
    RESERVED_NAMES,
    Busy,
    Containers,
    Local,
    Port,
    Scaling,
    Service,
    Source,
    Tier,
    Volume,
    Wake,
)
from services.catalog.project import Context
from services.catalog.schema import NAME, LocalEntry, XHub
from services.catalog.store import Recorder, Store
from services.catalog.tree import Mark, Path, Row, Table, Value, where

ON_DEMAND = "on-demand"
_GRACE = 10.0
_HIGHEST_SIGNAL = 64


@dataclass(frozen=True, slots=True)
class Built:
    """What came of one service; `service` is None where it has faults."""

    service: Service | None
    findings: Findings
    asked: Mapping[FilePath, str | None] = field(default_factory=dict)
    """The files it was read from besides the catalogue itself, and their state then."""


def build(name: str, value: Value, mark: Mark, context: Context, store: Store, *, in_containers: bool = False) -> Built:
    """Never raises; what is wrong is in the findings.

    `in_containers`: for a container driver. Compose's own rules are all there are then: names of any form stand, ports
    that nobody described are guessed, and what only containers have is read too.
    """
    findings = Findings()
    path: Path = ("services", name)
    if not isinstance(value, Table):
        findings.at(mark, path, "a mapping", value)
        return Built(None, findings)
    raw = keys.check(value, path, findings)
    if not in_containers:
        _check_name(name, mark, findings)
    files = Recorder(store)
    service = _Build(name, raw, mark, context, files, findings, in_containers).service()
    return Built(None if findings.faults else service, findings, files.asked)


def _check_name(name: str, mark: Mark, findings: Findings) -> None:
    path: Path = ("services", name)
    if name in RESERVED_NAMES:
        findings.at(mark, path, f"a name other than {', '.join(sorted(RESERVED_NAMES))}, which the hub keeps", name)
    elif not NAME.match(name):
        better = "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in name.lower()).strip("-")[:63]
        wanted = "a name of 1 to 63 small letters, digits and dashes, as it becomes a host name and part of a URL"
        findings.at(mark, path, wanted, name, f"such as {better}" if NAME.match(better) else "")


class _Build:
    """The reading of one service; lives as long as `build`."""

    def __init__(
        self,
        name: str,
        raw: Table,
        mark: Mark,
        context: Context,
        store: Recorder,
        findings: Findings,
        in_containers: bool,
    ) -> None:
        self._in_containers = in_containers
        self._name = name
        self._raw = raw
        self._mark = mark
        self._context = context
        self._store = store
        self._findings = findings
        self._path: Path = ("services", name)

    def service(self) -> Service | None:
        """All of it, so that all its faults are told; None where the extension cannot be used."""
        raw, path, findings = self._raw, self._path, self._findings
        labels = fields.pairs(raw.get("labels"), (*path, "labels"), findings)
        hub = extension(raw, labels, path, findings)
        limits = fields.resources(raw, path, findings)
        wanted = fields.dependencies(raw.get("depends_on"), (*path, "depends_on"), findings)
        environment, volumes = self._environment(), self._volumes()
        grace, stop_signal = self._stop()
        image = self._image(hub)
        self._note_unread()
        check = fields.health_check(raw.get("healthcheck"), (*path, "healthcheck"), findings)
        listening = Listening(self._name, raw, hub or XHub(), path, findings, self._guess(image, check))
        inside = self._containers()
        if hub is None:
            return None
        tier, lazy = self._tier(hub)
        ports = listening.ports()
        self._check_ports(hub, ports, lazy, bool(listening.targets))
        service = Service(
            name=self._name,
            tier=tier,
            lazy=lazy,
            image=image,
            ports=ports,
            publishes=listening.publishes(ports),
            health=hub.health or self._derived_health(check, ports),
            path=self._url_path(hub),
            web=hub.web,
            scaling=self._scaling(hub, lazy),
            wake=Wake(**dict(hub.wake)),
            busy=Busy(**dict(hub.busy)),
            depends_on=wanted,
            uses=self._uses(hub),
            models=hub.models,
            stateless=hub.stateless,
            local=self._local(hub.local) if hub.local else None,
            containers=inside,
            ends=inside is not None and ends(self._raw),
            environment=environment,
            volumes=volumes,
            resources=limits,
            stop_grace=grace,
            stop_signal=stop_signal,
            labels=MappingProxyType({key: text or "" for key, text in labels.items()}),
            description=hub.description,
            source=Source(self._mark.file, self._mark.line),
        )
        return replace(service, digest=self._digest(service))

    # -- compose fields ----------------------------------------------------------------------------------------------

    def _environment(self) -> Mapping[str, str]:
        path = (*self._path, "environment")
        own = fields.pairs(self._raw.get("environment"), path, self._findings)
        for key in own:
            if not key or "\0" in key:
                self._findings.found(self._raw, ("environment", key), "a name", key, under=self._path)
        files = env_files(self._raw.get("env_file"), self._path, self._raw, self._context, self._store, self._findings)
        return MappingProxyType(fields.environment(own, files, self._context.outer))

    def _volumes(self) -> tuple[Volume, ...]:
        row = self._raw.get("volumes")
        if not isinstance(row, Row):
            return ()
        return fields.volumes(row, (*self._path, "volumes"), self._context.directory, self._findings)

    def _stop(self) -> tuple[float, str]:
        grace, name = _GRACE, self._raw.get("stop_signal", "SIGTERM")
        text = self._raw.get("stop_grace_period")
        if text is not None:
            try:
                grace = units.seconds(text)
                if grace < 0:
                    raise ValueError("a duration of zero or more, such as 10s")
            except ValueError as error:
                self._tell(("stop_grace_period",), str(error), text)
        wanted = str(name).upper()
        wanted = wanted if wanted.startswith("SIG") or wanted.isdigit() else f"SIG{wanted}"
        if wanted.isdigit() and 0 < int(wanted) <= _HIGHEST_SIGNAL:
            return grace, _signal_name(int(wanted))
        if wanted not in signal.Signals.__members__:
            self._tell(("stop_signal",), "the name of a signal, such as SIGINT", name)
            wanted = "SIGTERM"
        return grace, wanted

    def _image(self, hub: XHub | None) -> str | None:
        image, build = self._raw.get("image"), self._raw.get("build")
        if image == "":
            self._tell(("image",), "the name of an image", image)
        if image is None and build is None:
            if self._in_containers:
                if "provider" not in self._raw:
                    self._tell((), "an image or a build, as it runs in a container")
            elif hub is not None and hub.local is not None:
                self._findings.note("services without an image cannot run in Docker", self._name)
            elif hub is not None and "provider" not in self._raw and not self._findings.faults:
                self._tell((), "an image, a build, or x-hub.local that says how it runs here")
        return image if isinstance(image, str) else None

    def _note_unread(self) -> None:
        for key in () if self._in_containers else self._raw:
            if key not in keys.READ and not key.startswith("x-"):
                why = keys.WITHOUT_CONTAINERS.get(key)
                self._findings.note(f"{key} means nothing without Docker" + (f": {why}" if why else ""), self._name)

    def _guess(self, image: str | None, check: fields.Check | None) -> Guess | None:
        if not self._in_containers:
            return None
        return lambda exposed: known.ports(image, exposed, check.port if check else None)

    def _containers(self) -> Containers | None:
        if not self._in_containers:
            return None
        project = self._context.outer.get("COMPOSE_PROJECT_NAME", "")
        return containers(self._name, self._raw, project, self._path, self._findings)

    # -- what goes together ------------------------------------------------------------------------------------------

    def _tier(self, hub: XHub) -> tuple[Tier, bool]:
        """A profile or zero replicas is the wish to sleep, whatever the tier says; without either the tier decides."""
        asleep = ON_DEMAND in self._profiles() or self._replicas() == 0
        tier = hub.tier or (Tier.ON_DEMAND if asleep else Tier.PERSISTENT)
        return tier, asleep or tier is Tier.ON_DEMAND

    def _profiles(self) -> tuple[str, ...]:
        profiles = self._raw.get("profiles")
        return tuple(word for word in profiles if isinstance(word, str)) if isinstance(profiles, Row) else ()

    def _replicas(self) -> int | None:
        deploy = self._raw.get("deploy")
        inside: Path = ("deploy", "replicas") if isinstance(deploy, Table) and "replicas" in deploy else ("scale",)
        value = deploy["replicas"] if isinstance(deploy, Table) and len(inside) == 2 else self._raw.get("scale")
        if value is None:
            return None
        try:
            count = int(value) if isinstance(value, str | int | float) and float(value) == int(float(value)) else -1
        except (ValueError, OverflowError):
            count = -1
        if count < 0:
            self._tell(inside, "a whole number from 0 up", value)
            return None
        return count

    def _scaling(self, hub: XHub, lazy: bool) -> Scaling:
        said = hub.scaling
        least = said.min_replicas if said.min_replicas is not None else (0 if lazy else 1)
        most = said.max_replicas if said.max_replicas is not None else max(1, least)
        if least > most:
            self._tell(("x-hub", "scaling", "min_replicas"), f"at most max_replicas, which is {most}", least)
        if most > 1 and not hub.stateless:
            wanted = "1, or stateless: true beside it: several replicas would share one service's data"
            self._tell(("x-hub", "scaling", "max_replicas"), wanted, most)
        if not lazy and least < 1:
            hint = f"profiles: [{ON_DEMAND}] lets it sleep"
            self._tell(
                ("x-hub", "scaling", "min_replicas"), "at least 1 for a service that is not on demand", least, hint
            )
        return Scaling(least, most, said.scale_up_threshold, said.idle_timeout, said.stop_after, said.rest)

    def _check_ports(self, hub: XHub, ports: tuple[Port, ...], lazy: bool, exposed: bool) -> None:
        if not ports and not exposed and hub.ports is None and not self._in_containers:
            if lazy:
                self._tell((), "a port (under ports, or as x-hub.port), as requests to it wake a service on demand")
            elif hub.web:
                self._tell(("x-hub", "web"), "x-hub.port beside it: pages are served at a port")
        if is_tcp(ports) and hub.web:
            self._tell(("x-hub", "web"), "a main port that speaks http", "tcp")
        if is_tcp(ports) and hub.health not in (None, "tcp"):
            self._tell(("x-hub", "health"), "tcp, as the main port does not speak http", hub.health)

    def _derived_health(self, check: fields.Check | None, ports: tuple[Port, ...]) -> str:
        """A healthcheck that asks the main port for a path asks what we would ask."""
        return check.path if check and ports and not is_tcp(ports) and check.port == ports[0].number else "tcp"

    def _url_path(self, hub: XHub) -> str:
        path = hub.path
        if path is None:
            return f"/api/{self._name}"
        steps = path.split("/")
        good = path.startswith("/") and all(step and step not in (".", "..") and _is_plain(step) for step in steps[1:])
        if not good:
            self._tell(("x-hub", "path"), f"a path such as /api/{self._name}, with no / at its end", path)
        elif path == "/api" or (steps[1] == "api" and steps[2] in RESERVED_NAMES) or steps[1] in RESERVED_NAMES:
            self._tell(("x-hub", "path"), "a path that the hub does not keep for itself", path)
        return path

    def _uses(self, hub: XHub) -> tuple[str, ...]:
        if self._name in hub.uses:
            self._tell(("x-hub", "uses"), "other services than itself", self._name)
        return tuple(dict.fromkeys(hub.uses))

    def _local(self, entry: LocalEntry) -> Local:
        reader = LocalReader(self._name, self._raw, self._mark, self._store, self._findings)
        return reader.read(entry, self._context.outer)

    def _digest(self, service: Service) -> str:
        if self._in_containers:
            return container_digest(service, self._raw)
        lock = service.local.package.lock if service.local and service.local.package else None
        try:
            return digest(service, self._raw, self._store.digest(FilePath(lock)) if lock else "")
        except OSError as error:
            self._tell(("x-hub", "local", "package"), f"a lock that can be read: {error}", lock)
            return ""

    def _tell(self, inside: Path, wanted: str, value: object = ..., hint: str = "") -> None:
        place = where(self._raw, inside) if inside and inside[0] in self._raw else self._mark
        self._findings.at(place if place.file else self._mark, (*self._path, *inside), wanted, value, hint)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _is_plain(step: str) -> bool:
    return all(sign.isascii() and (sign.isalnum() or sign in "-._~") for sign in step)
