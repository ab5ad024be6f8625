"""Compose files → one tree of services: `.env`, interpolation, `include`, `extends`, several files, profiles.

Owns the order of those steps and where relative paths start; what a service's fields mean is `build`'s. A part that
cannot be read is a fault and the rest is read on, so that one report tells everything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from services.catalog.containers import DEFAULT_NETWORK
from services.catalog.dotenv import DotenvFault, parse
from services.catalog.extends import Extends
from services.catalog.faults import Fault, Findings
from services.catalog.interpolate import Interpolation, InterpolationFault, substitute
from services.catalog.keys import TOP_LEVEL
from services.catalog.merge import Merger, as_row, settled
from services.catalog.store import Store
from services.catalog.tree import NOWHERE, Mark, Row, Table, Value
from services.catalog.yaml_reader import YamlFault

Variables = Mapping[str, str]
_RESOURCES = ("services", "volumes", "networks", "secrets", "configs", "models")
_REMOTE = re.compile(r"(?:https?|git|oci|ssh)://|git@|github\.com/")
_DEEPEST_INCLUDE = 20
_BINDING = "com.docker.network.bridge.host_binding_ipv4"
ADOPTED = "x-aihub-adopted"
"""Top-level key of a document that `aihub adopt` wrote."""
TAKEN_OVER = ("ports", "container_name")
"""What such a document takes from a service, as the gateway has it from then on."""
_INCLUDE = ("path", "env_file", "project_directory")


@dataclass(frozen=True, slots=True)
class Context:
    """Where relative paths of a service start, and the variables around it."""

    directory: Path
    variables: Variables
    """Those that its text is filled in with: an included folder's `.env` is among them."""
    outer: Variables
    """Those that a name without a value in `environment` stands for: the project's own, as in compose."""


@dataclass(slots=True)
class Project:
    """What all files together say."""

    services: Table = field(default_factory=Table)
    contexts: dict[str, Context] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset({DEFAULT_NETWORK})
    bindings: Mapping[str, str] = field(default_factory=dict)
    """As `Stack.bindings`."""
    variables: Variables = field(default_factory=dict)


@dataclass(slots=True)
class _Group:
    """Files that are merged with each other: those of the command line, or of one `include`."""

    tree: Table
    contexts: dict[str, Context]


@dataclass(slots=True)
class _Layer:
    """One interpolated document and what was found in it."""

    source: object
    tree: Value
    findings: Findings


class ProjectReader:
    """Reads a project again and again, interpolating only files that have changed."""

    def __init__(self, store: Store, *, adopted: bool = True) -> None:
        """`adopted`: whether documents that `aihub adopt` wrote are read too."""
        self._store = store
        self._adopted = adopted
        self._layers: dict[tuple[int, int, int], _Layer] = {}
        self._used: set[tuple[int, int, int]] = set()
        self._environments: dict[tuple[tuple[str, str], ...], int] = {}
        self._groups: dict[object, _Group] = {}
        self._findings = Findings()

    def read(self, files: Sequence[Path], environ: Variables, findings: Findings) -> Project:
        """All files as one project; every fault goes to `findings`. Raises nothing."""
        self._findings, self._used, self._groups = findings, set(), {}
        directory = files[0].parent
        variables = self._with_dotenv(directory, [directory / ".env"], environ, required=False)
        variables.setdefault("COMPOSE_PROJECT_NAME", self._project_name(files, variables))
        group = self._group(files, Context(directory, variables, variables), ())
        self._layers = {key: layer for key, layer in self._layers.items() if key in self._used}
        services = group.tree.get("services")
        project = Project(variables=variables, contexts=group.contexts)
        if isinstance(services, Table):
            project.services = services
        project.volumes = frozenset(_names(group.tree, "volumes"))
        project.networks = frozenset({*_names(group.tree, "networks"), DEFAULT_NETWORK})
        project.bindings = dict(_bindings(group.tree.get("networks"), variables["COMPOSE_PROJECT_NAME"]))
        return project

    # -- files -----------------------------------------------------------------------------------------------------

    def _group(self, files: Sequence[Path], context: Context, above: tuple[Path, ...], asked: Mark = NOWHERE) -> _Group:
        group = _Group(Table(), {})
        merger = Merger(self._findings)
        extends = Extends(context.directory, lambda other, mark: self.interpolated(other, context, mark), self._findings)
        for file in files:
            if file in above:
                chain = " → ".join(path.name for path in (*above[above.index(file) :], file))
                self._findings.faults.append(Fault(str(file), 0, 0, "include", f"files include each other: {chain}"))
                continue
            for tree in self._documents(file, context, asked):
                tree = extends.resolved(tree, file)
                imported = self._included(tree, context, (*above, file))
                tree = self._imported(tree, imported)
                for name in _names(tree):
                    group.contexts.setdefault(name, imported.contexts.get(name, context))
                merged = merger.merge(group.tree, tree) if group.tree else tree
                group.tree = merged if isinstance(merged, Table) else group.tree
        settled_tree = settled(group.tree)
        group.tree = settled_tree if isinstance(settled_tree, Table) else Table()
        return group

    def _documents(self, file: Path, context: Context, asked: Mark) -> Iterator[Table]:
        """The interpolated documents of a file that are mappings, their top-level keys checked."""
        for tree in self.interpolated(file, context, asked):
            for key, _, mark in tree.places():
                if key not in TOP_LEVEL and not key.startswith("x-"):
                    hint = self._findings.near(key, TOP_LEVEL) or "keys of your own begin with x-"
                    self._findings.at(mark, (key,), "a key of a compose file", key, hint)
            services = tree.get("services", ...)
            if services is not ... and not isinstance(services, Table):
                self._findings.found(tree, ("services",), "a mapping of services", services)
                tree = tree.duplicate()
                tree.drop("services")
            if ADOPTED not in tree:
                yield tree
            elif self._adopted:
                yield _given_back(tree)

    def interpolated(self, file: Path, context: Context, asked: Mark) -> list[Table]:
        """The documents of a file with variables filled in; the same objects while neither changes.

        `asked`: the place that names the file, for the fault when it is not there.
        """
        try:
            documents = self._store.documents(file)
        except YamlFault as error:
            self._findings.faults.append(error.fault)
            return []
        except OSError as error:
            place = asked if asked.file else Mark(str(file), 0, 0)
            self._findings.at(place, (), f"a file that can be read, which {file} is not: {error.strerror or error}")
            return []
        self._findings.faults.extend(documents.faults)
        trees: list[Table] = []
        for index, value in enumerate(documents.values):
            layer = self._layer(documents, index, value, context.variables)
            self._findings.faults.extend(layer.findings.faults)
            self._findings.notes.extend(layer.findings.notes)
            if isinstance(layer.tree, Table):
                trees.append(layer.tree)
            else:
                self._findings.at(Mark(str(file), 1, 0), (), "a mapping with services at its top", value)
        if not documents.values:
            self._findings.at(Mark(str(file), 0, 0), (), "a mapping with services; the file is empty")
        return trees

    def _layer(self, documents: object, index: int, value: Value, variables: Variables) -> _Layer:
        environment = self._environments.setdefault(tuple(sorted(variables.items())), len(self._environments))
        key = (id(documents), index, environment)
        self._used.add(key)
        if key not in self._layers:
            findings = Findings()
            self._layers[key] = _Layer(documents, Interpolation(variables, findings).tree(value), findings)
        return self._layers[key]

    # -- include ---------------------------------------------------------------------------------------------------

    def _included(self, tree: Table, context: Context, above: tuple[Path, ...]) -> _Group:
        """Everything that `include` brings in, merged side by side; the same thing twice is allowed if it is equal."""
        together = _Group(Table(), {})
        entries = tree.get("include")
        if entries is None:
            return together
        if not isinstance(entries, Row):
            self._findings.found(tree, ("include",), "a list of files", entries)
            return together
        if len(above) > _DEEPEST_INCLUDE:
            self._findings.found(tree, ("include",), f"includes nested at most {_DEEPEST_INCLUDE} deep")
            return together
        for index, entry, mark in entries.places():
            group = self._include(entry, ("include", index), mark, context, above)
            if group is not None:
                _import(group.tree, together.tree, self._findings)
                for name, where in group.contexts.items():
                    together.contexts.setdefault(name, where)
        return together

    def _include(
        self, entry: Value, path: tuple[str | int, ...], mark: Mark, context: Context, above: tuple[Path, ...]
    ) -> _Group | None:
        table = entry
        if isinstance(entry, str):
            table = Table(mark)
            table.put("path", entry, mark)
        if not isinstance(table, Table):
            self._findings.at(mark, path, "a file name, or a mapping with path", entry)
            return None
        for name, _, at in table.places():
            if name not in _INCLUDE:
                self._findings.at(
                    at, (*path, name), f"one of {', '.join(_INCLUDE)}", name, self._findings.near(name, _INCLUDE)
                )
        names = [name for name in as_row(table.get("path")) if isinstance(name, str) and name]
        if not names or any(_REMOTE.match(name) for name in names):
            wanted = "the path of a file on this machine"
            self._findings.at(mark, (*path, "path"), wanted, table.get("path"))
            return None
        files = [_absolute(context.directory, name) for name in names]
        folder = table.get("project_directory")
        directory = _absolute(context.directory, folder) if isinstance(folder, str) else files[0].parent
        given = [_absolute(context.directory, name) for name in as_row(table.get("env_file")) if isinstance(name, str)]
        variables = self._with_dotenv(directory, given or [directory / ".env"], context.variables, required=bool(given))
        key = (tuple(files), directory, tuple(sorted(variables.items())), above if set(files) & set(above) else ())
        if key not in self._groups:
            self._groups[key] = self._group(files, Context(directory, variables, context.outer), above, mark)
        return self._groups[key]

    def _imported(self, tree: Table, group: _Group) -> Table:
        if not group.tree:
            return tree
        tree = tree.duplicate()
        for kind in _RESOURCES:
            if isinstance(own := tree.get(kind), Table):
                tree[kind] = own.duplicate()
        _import(group.tree, tree, self._findings)
        return tree

    # -- variables -------------------------------------------------------------------------------------------------

    def _with_dotenv(
        self, directory: Path, files: Iterable[Path], outer: Variables, *, required: bool
    ) -> dict[str, str]:
        """`outer` over what the files say: the environment wins, as in compose."""
        found: dict[str, str] = {}
        for file in files:
            if not required and not self._store.exists(file):
                continue
            try:
                text = self._store.text(file).data.decode("utf-8-sig")
                found.update({k: v for k, v in parse(text, {**found, **outer}).items() if v is not None})
            except (OSError, UnicodeDecodeError) as error:
                self._findings.at(Mark(str(file), 0, 0), (), f"a text file that can be read: {error}")
            except DotenvFault as fault:
                self._findings.at(Mark(str(file), fault.line, 0), (), str(fault))
        return {**found, **outer}

    def _project_name(self, files: Sequence[Path], variables: Variables) -> str:
        """`name:` of the last file that has one, else the folder's."""
        for file in reversed(files):
            try:
                values = self._store.documents(file).values
            except (OSError, YamlFault):
                continue
            name = next((value["name"] for value in values if isinstance(value, Table) and "name" in value), None)
            if isinstance(name, str):
                try:
                    return substitute(name, variables)
                except InterpolationFault:
                    break
        return re.sub(r"[^-_a-z0-9]", "", files[0].parent.name.lower()).lstrip("-_") or "default"


def _import(source: Table, target: Table, findings: Findings) -> None:
    for kind in _RESOURCES:
        inside = source.get(kind)
        if not isinstance(inside, Table):
            continue
        existing = target.get(kind)
        if not isinstance(existing, Table):
            existing = Table(inside.mark)
            target.put(kind, existing, inside.mark)
        for name, value, mark in inside.places():
            if name not in existing:
                existing.put(name, value, mark)
            elif existing[name] != value:
                other = existing.marks.get(name, existing.mark)
                wanted = f"one meaning; it is also in {os.path.basename(mark.file)}:{mark.line}, which is included"
                findings.at(other, (kind, name), wanted)


def _given_back(tree: Table) -> Table:
    """An override of ours without what it takes from compose for the gateway: to us the service still has it."""
    services = tree.get("services")
    if not isinstance(services, Table):
        return tree
    tree, named = tree.duplicate(), services.duplicate()
    for name, service in services.items():
        if isinstance(service, Table):
            named[name] = service = service.duplicate()
            for key in TAKEN_OVER:
                service.drop(key)
    tree["services"] = named
    return tree


def _bindings(networks: Value, project: str) -> Iterator[tuple[str, str]]:
    """Of those that lead outside, by their names, as the engine would choose one."""
    said = dict(networks.items()) if isinstance(networks, Table) else {}
    tables = {name: one if isinstance(one, Table) else None for name, one in ({DEFAULT_NETWORK: None} | said).items()}

    def full(name: str) -> str:
        table = tables[name]
        own = table.get("name") if table else None
        outside = table is not None and table.get("external")
        return own if isinstance(own, str) else name if outside else f"{project}_{name}"

    for name in sorted(tables, key=full):
        table = tables[name]
        if table is None or table.get("internal") is not True:
            yield name, _binding(table)


def _binding(network: Table | None) -> str:
    options = network.get("driver_opts") if network else None
    host = options.get(_BINDING) if isinstance(options, Table) else None
    with suppress(ValueError):  # the engine will say what is wrong with it
        if isinstance(host, str) and host and not (address := ip_address(host)).is_unspecified:
            return str(address)
    return ""


def _names(tree: Table, kind: str = "services") -> Iterable[str]:
    inside = tree.get(kind)
    return inside if isinstance(inside, Table) else ()


def _absolute(directory: Path, name: str) -> Path:
    return Path(os.path.normpath(directory / os.path.expanduser(name)))
