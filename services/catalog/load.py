"""Files → catalogue: all of it or, as one error, everything that is wrong with it.

`load` reads once. `CatalogReader` reads again and again and takes over what has not changed: a file by its content, a
service by its text, its env_files and its lock. What a field means is said in the modules below; this one owns only
their order, the profiles and what is kept between two readings.

    CatalogError    all faults of all files, each with its place
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from services.catalog.build import ON_DEMAND, Built, build
from services.catalog.check import Services, check
from services.catalog.faults import CatalogError, Fault, Findings
from services.catalog.merge import as_names, as_row
from services.catalog.model import Catalog, Service, Stack
from services.catalog.project import Context, Project, ProjectReader
from services.catalog.store import Store
from services.catalog.tree import Mark, Row, Table, Value

__all__ = ["CatalogError", "CatalogReader", "Fault", "load"]

_ALL_PROFILES = "*"
_NAMED = 3
MOST_SERVICES = 3000
_MOST_FAULTS = 500


def load(
    files: Sequence[Path], *, environ: Mapping[str, str] | None = None, profiles: Sequence[str] | None = None
) -> Catalog:
    """Read a catalogue once. Raises CatalogError with every fault.

    `files`: merged in their order, as compose's `-f`. `environ`: variables for interpolation, the process's own unless
    given. `profiles`: which to enable besides `on-demand`; `$COMPOSE_PROFILES` unless given, `*` for all.
    """
    return CatalogReader(environ=environ, profiles=profiles).read(files)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A service of the reading before, and what it was read from."""

    raw: Value
    context: Context
    built: Built


class CatalogReader:
    """Reads a catalogue each time it has changed; a failed reading spoils nothing. Not for two threads at once."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        profiles: Sequence[str] | None = None,
        in_containers: bool = False,
        adopted: bool = True,
    ) -> None:
        """`in_containers`: for a container driver; the files are one compose project, and compose judges them.
        `adopted`: whether what `aihub adopt` wrote is read too."""
        self._in_containers = in_containers
        self._environ = environ
        self._profiles = profiles
        self._store = Store()
        self._projects = ProjectReader(self._store, adopted=adopted)
        self._kept: dict[str, _Kept] = {}

    def read(self, files: Sequence[Path]) -> Catalog:
        """The catalogue as the files are now; a service of an unchanged file is the same object as before.

        Raises CatalogError with every fault; the next reading still profits from what was read.
        """
        findings = Findings()
        self._store.begin()
        paths = [Path(os.path.abspath(file)) for file in files]
        if not paths:
            raise CatalogError([Fault("", 0, 0, "", "at least one catalogue file")])
        environ = dict(os.environ if self._environ is None else self._environ)
        project = self._projects.read(paths, environ, findings)
        chosen, disabled = self._enabled(project)
        built = self._built(chosen, project, findings)
        good = {name: one.service for name, one in built.items() if one.service is not None}
        # Where containers run, an override says `required: false` for those that somebody forgot.
        on_profile = frozenset[str]() if self._in_containers else _on_profile(chosen)
        check(Services(chosen, good, disabled, on_profile), findings)
        self._check_declared(good, project, findings)
        self._store.finish()
        if findings.faults:
            raise CatalogError(findings.faults)
        stacks = self._stacks(paths, project) if self._in_containers else {}
        return Catalog(MappingProxyType(good), self._store.used, MappingProxyType(stacks), _together(findings))

    def _stacks(self, paths: Sequence[Path], project: Project) -> dict[str, Stack]:
        name = project.variables["COMPOSE_PROJECT_NAME"]
        return {name: Stack(name, tuple(map(str, paths)), str(paths[0].parent), MappingProxyType(project.bindings))}

    def _enabled(self, project: Project) -> tuple[Table, frozenset[str]]:
        """Services without a profile, on demand, or of an enabled profile; and the names of the others."""
        wanted = self._profiles
        if wanted is None:
            wanted = [word.strip() for word in project.variables.get("COMPOSE_PROFILES", "").split(",")]
        enabled = {ON_DEMAND, *wanted}
        if _ALL_PROFILES in enabled:
            return project.services, frozenset()
        off = {name for name, value in project.services.items() if not _is_on(value, enabled)}
        if not off:
            return project.services, frozenset()
        chosen = project.services.duplicate()
        for name in off:
            chosen.drop(name)
        return chosen, frozenset(off)

    def _built(self, services: Table, project: Project, findings: Findings) -> dict[str, Built]:
        kept: dict[str, _Kept] = {}
        if len(services) > MOST_SERVICES:
            findings.at(services.mark, ("services",), f"at most {MOST_SERVICES} services", len(services))
        for name, raw, mark in list(services.places())[:MOST_SERVICES]:
            if len(findings.faults) > _MOST_FAULTS:
                wanted = "fewer faults before: from here on nothing was looked at"
                findings.faults.append(Fault(mark.file, mark.line, mark.column, f"services.{name}", wanted))
                break
            context = project.contexts[name]
            one = self._kept.get(name)
            if one is None or not self._stands(one, raw, context):
                one = _Kept(raw, context, self._build(name, raw, mark, context))
            kept[name] = one
            findings.faults.extend(one.built.findings.faults)
            findings.notes.extend(one.built.findings.notes)
        self._kept = kept
        return {name: one.built for name, one in kept.items()}

    def _build(self, name: str, raw: Value, mark: Mark, context: Context) -> Built:
        return build(name, raw, mark, context, self._store, in_containers=self._in_containers)

    def _stands(self, kept: _Kept, raw: Value, context: Context) -> bool:
        """Whether reading the service again would give the same."""
        if kept.raw is not raw or kept.context != context:
            return False
        return all(self._store.state(file) == state for file, state in kept.built.asked.items())

    def _check_declared(self, services: Mapping[str, Service], project: Project, findings: Findings) -> None:
        for service in services.values():
            self._check_networks(service.name, project, findings)
            for index, volume in enumerate(service.volumes):
                if volume.named and volume.source and volume.source not in project.volumes:
                    raw = project.services[service.name]
                    wanted = "a volume that is declared under volumes at the top of the file"
                    findings.found(raw, ("volumes", index), wanted, volume.source, under=("services", service.name))

    def _check_networks(self, name: str, project: Project, findings: Findings) -> None:
        raw, path = project.services[name], ("services", name, "networks")
        said = raw.get("networks") if isinstance(raw, Table) else None
        for network, _, mark in as_names(said, path).places():
            if network not in project.networks:
                wanted = "a network that is declared under networks at the top of the file"
                findings.at(mark, path, wanted, network, findings.near(network, project.networks))


def _is_on(value: Value, enabled: set[str]) -> bool:
    profiles = value.get("profiles") if isinstance(value, Table) else None
    return (
        not isinstance(profiles, Row)
        or not profiles
        or any(isinstance(word, str) and word in enabled for word in profiles)
    )


def _on_profile(services: Table) -> frozenset[str]:
    return frozenset(
        name
        for name, value in services.items()
        if isinstance(value, Table) and ON_DEMAND in as_row(value.get("profiles"))
    )


def _together(findings: Findings) -> tuple[str, ...]:
    """One line a note, with the services it is about."""
    about: dict[str, dict[str, None]] = {}
    for what, service in findings.notes:
        services = about.setdefault(what, {})
        if service:
            services[service] = None
    return tuple(_line(what, list(services)) for what, services in about.items())


def _line(what: str, services: list[str]) -> str:
    if not services:
        return what
    rest = len(services) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f"{what} ({', '.join(services[:_NAMED])}{more})"
