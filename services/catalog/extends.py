"""`extends`: a service that begins as another one, of the same file or of another.

Owns following the chain, its cycles and the relative paths that come from another file's folder. How the two are put
together is `merge`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from services.catalog.faults import Findings
from services.catalog.merge import Merger, as_row
from services.catalog.tree import Mark, Override, Row, Table, Value

_DEEPEST = 20

Documents = Callable[[Path, Mark], Iterable[Table]]
"""The interpolated documents of a file, asked for at a mark; none where it cannot be read, which is a fault there."""


class Extends:
    """`directory`: where relative paths of the extending services start."""

    def __init__(self, directory: Path, documents: Documents, findings: Findings) -> None:
        self._directory = directory
        self._documents = documents
        self._findings = findings

    def resolved(self, tree: Table, file: Path) -> Table:
        """The document with every `extends` of its services carried out; the same object where there is none."""
        services = tree.get("services")
        if not isinstance(services, Table) or not any(
            isinstance(s, Table) and "extends" in s for s in services.values()
        ):
            return tree
        done = services.duplicate()
        for name in services:
            done[name] = self._service(name, services, file, ())
        tree = tree.duplicate()
        tree["services"] = done
        return tree

    def _service(self, name: str, services: Table, file: Path, above: tuple[tuple[Path, str], ...]) -> Value:
        service = services[name]
        if not isinstance(service, Table) or "extends" not in service:
            return service
        path = ("services", name)
        own = service.duplicate()
        own.drop("extends")
        mark = service.marks["extends"]
        if (file, name) in above:
            chain = " → ".join(step for _, step in (*above, (file, name)))
            self._findings.at(mark, (*path, "extends"), f"services extend each other: {chain}")
            return own
        if len(above) >= _DEEPEST:
            self._findings.at(mark, (*path, "extends"), f"services extend each other at most {_DEEPEST} deep")
            return own
        asked = self._asked(service["extends"], mark, path)
        if asked is None:
            return own
        base = self._base(asked[0], asked[1], mark, path, services, file, (*above, (file, name)))
        if base is None:
            return own
        merged = Merger(self._findings).merge(base, own, path, mark)
        if isinstance(merged, Table):
            merged.mark = service.mark
        return merged

    def _asked(self, value: Value, mark: Mark, path: tuple[str, ...]) -> tuple[str | None, str] | None:
        """File and service, or None after a fault."""
        if isinstance(value, str):
            return None, value
        if isinstance(value, Table):
            name, other = value.get("service"), value.get("file")
            if isinstance(name, str) and (other is None or isinstance(other, str)):
                return other, name
        self._findings.at(mark, (*path, "extends"), "the name of a service, or a mapping with service and file", value)
        return None

    def _base(
        self,
        other: str | None,
        name: str,
        mark: Mark,
        path: tuple[str, ...],
        services: Table,
        file: Path,
        above: tuple[tuple[Path, str], ...],
    ) -> Value:
        target = file
        if other is not None:
            target = Path(os.path.normpath(self._directory / other))
            trees = self._documents(target, mark)
            found = next((t["services"] for t in trees if isinstance(t.get("services"), Table)), Table())
            services = found if isinstance(found, Table) else Table()
        if name not in services:
            self._findings.at(
                mark, (*path, "extends"), "the name of a service", name, self._findings.near(name, services)
            )
            return None
        base = self._service(name, services, target, above)
        if not isinstance(base, Table):
            return None
        return _absolute(base, target.parent) if target.parent != self._directory else base


def _absolute(service: Table, folder: Path) -> Table:
    """With the paths that are relative to `folder` written out, as the service moves to another folder."""
    service = service.duplicate()
    if "env_file" in service:
        service["env_file"] = _each(as_row(service["env_file"]), "path", folder)
    volumes = service.get("volumes")
    if isinstance(volumes, Row):
        service["volumes"] = _each(volumes, "source", folder)
    return service


def _each(row: Row, key: str, folder: Path) -> Row:
    new = Row(row.mark)
    for _, item, mark in row.places():
        if isinstance(item, str):
            item = _joined(item, folder, always=key == "path")
        elif isinstance(item, Table) and isinstance(text := item.get(key), str):
            if key == "path" or item.get("type") == "bind":
                item = item.duplicate()
                item[key] = _joined(text, folder, always=True)
        elif isinstance(item, Override):
            continue
        new.add(item, mark)
    return new


def _joined(text: str, folder: Path, *, always: bool) -> str:
    """A bind mount's source begins with a dot; other words of `volumes` are names of volumes."""
    if text.startswith(("/", "~")) or not (always or text.startswith(".")):
        return text
    source, colon, rest = text.partition(":") if not always else (text, "", "")
    return os.path.normpath(folder / source) + colon + rest
