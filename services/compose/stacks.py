"""Compose files → one catalogue of containers: each file a project of its own, its lazy services marked.

Owns the order of the steps, and that a service nothing has changed for stays the same object. Reading a project is the
catalogue's; its files are `beside`'s, names `naming`'s, who can be lazy `lazy`'s, and what that changes `settle`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from services.catalog.faults import CatalogError, Fault
from services.catalog.load import CatalogReader
from services.catalog.model import Catalog, Service, Stack
from services.compose.beside import files_of, watched
from services.compose.lazy import Choice, Wish, WishError, choose
from services.compose.naming import hub_names, renamed
from services.compose.needs import Needs
from services.compose.settle import as_bound, as_kept, as_lazy, bound_to, faults_between, named_in_environment

_PROJECT = "COMPOSE_PROJECT_NAME"


@dataclass(frozen=True, slots=True)
class _Made:
    """A service as the hub has it, and what it was made from."""

    read: Service
    how: tuple[str, ...]
    service: Service


class StackReader:
    """Reads stacks each time something has changed; a failed reading spoils nothing. Not for two threads at once."""

    def __init__(
        self,
        lazy: Wish | None = None,
        *,
        project_name: str | None = None,
        environ: Mapping[str, str] | None = None,
        profiles: Sequence[str] | None = None,
        adopted: bool = True,
    ) -> None:
        """`lazy`: who is lazy besides those whose file says so. `project_name`: as `-p` of compose, for a single file.
        `environ`, `profiles`, `adopted`: as `CatalogReader` takes them."""
        self._wish = lazy
        self._project_name = project_name
        self._environ = environ
        self._profiles = profiles
        self._adopted = adopted
        self._readers: dict[Path, CatalogReader] = {}
        self._made: dict[tuple[str, str, str], _Made] = {}
        self._making: dict[tuple[str, str, str], _Made] = {}
        self.choice = Choice()
        """Of the last reading that went well: who is lazy, who is not and why."""

    def read(self, files: Sequence[Path]) -> Catalog:
        """The catalogue as the files are now; a service that nothing has changed for is the same object as before.

        Raises CatalogError with every fault, also where a wished service is unknown or cannot be lazy.
        """
        self._making = {}
        stacks = self._stacks([Path(os.path.abspath(file)) for file in files])
        services = self._named(stacks)
        try:
            choice = choose(services, self._wish)
        except WishError as error:
            raise CatalogError([Fault("--lazy", 0, 0, "", str(error))]) from None
        good = self._settle(services, frozenset(choice.taken))
        if faults := list(faults_between(good)):
            raise CatalogError(faults)
        self.choice, self._made = choice, self._making
        seen = [
            *(str(file) for name in self._readers for file in watched(name)),
            *(file for catalog in stacks.values() for file in catalog.files),
        ]
        return Catalog(
            MappingProxyType(good),
            tuple(dict.fromkeys(seen)),
            MappingProxyType({name: catalog.stacks[name] for name, catalog in stacks.items()}),
            tuple(dict.fromkeys(note for catalog in stacks.values() for note in catalog.notes)),
        )

    def _stacks(self, files: Sequence[Path]) -> dict[str, Catalog]:
        """By project."""
        if not files:
            raise CatalogError([Fault("", 0, 0, "", "at least one compose file")])
        if self._project_name and len(files) > 1:
            wanted = (
                f"one file beside --project-name {self._project_name}, which cannot be the name of several projects"
            )
            raise CatalogError([Fault("", 0, 0, "", wanted, str(len(files)))])
        faults: list[Fault] = []
        found: dict[str, Catalog] = {}
        readers = {file: self._readers.get(file) or self._reader(alone=len(files) == 1) for file in files}
        self._readers = readers
        for file, reader in readers.items():
            try:
                catalog = reader.read(files_of(file))
            except CatalogError as error:
                faults.extend(error.faults)
                continue
            for project, stack in catalog.stacks.items():
                if (other := found.get(project)) is not None:
                    faults.append(_same_project(stack, other.stacks[project]))
                found[project] = catalog
        if faults:
            raise CatalogError(faults)
        return found

    def _reader(self, *, alone: bool) -> CatalogReader:
        environ = dict(os.environ if self._environ is None else self._environ)
        if self._project_name:
            environ[_PROJECT] = self._project_name
        elif not alone:
            # One name from outside cannot be that of several projects; compose is never asked for several at once.
            environ.pop(_PROJECT, None)
        return CatalogReader(environ=environ, profiles=self._profiles, in_containers=True, adopted=self._adopted)

    # -- services ----------------------------------------------------------------------------------------------------

    def _named(self, stacks: Mapping[str, Catalog]) -> dict[str, Service]:
        """Every service under the hub's own name for it."""
        names = hub_names({project: list(catalog.services) for project, catalog in stacks.items()})
        found: dict[str, Service] = {}
        for project, catalog in stacks.items():
            around = tuple(names[project, name] for name in catalog.services)
            plain = around == tuple(catalog.services)
            for name, service in catalog.services.items():
                if not plain:
                    service = self._once("name", service, around, partial(renamed, project=project, names=names))
                found[names[project, name]] = self._bound(service, catalog.stacks[project])
        return found

    def _bound(self, service: Service, stack: Stack) -> Service:
        host = bound_to(service, stack.bindings)
        return self._once("bound", service, (host,), partial(as_bound, host=host)) if host else service

    def _settle(self, services: Mapping[str, Service], taken: frozenset[str]) -> dict[str, Service]:
        lazy = {name: service for name, service in services.items() if name in taken}
        needs = Needs(services)
        found: dict[str, Service] = {}
        for name, service in services.items():
            if name in taken:
                uses = named_in_environment(service, lazy, needs)
                found[name] = self._once("lazy", service, uses, partial(as_lazy, uses=uses))
            else:
                resting = tuple(d.service for d in service.depends_on if d.service in lazy)
                found[name] = self._once("kept", service, resting, partial(as_kept, lazy=lazy))
        return found

    def _once(self, step: str, service: Service, how: tuple[str, ...], make: Callable[[Service], Service]) -> Service:
        """What `make` gives; the same object as long as neither the service nor what goes into it has changed."""
        inside = service.containers
        assert inside is not None
        key = (step, inside.stack, inside.name)
        made = self._made.get(key)
        if made is None or made.read is not service or made.how != how:
            made = _Made(service, how, make(service))
        self._making[key] = made
        return made.service


def _same_project(stack: Stack, other: Stack) -> Fault:
    wanted = f"a project name of its own (name: at its top); {other.files[0]} has it"
    return Fault(stack.files[0], 0, 0, "name", wanted, stack.project)
