"""`x-hub.local` of one service → how it runs as a process: its command, its environment, its package and lock.

Owns the rules of that part alone; whether its placeholders name something that exists is `check`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from services.catalog import fields
from services.catalog.faults import Findings
from services.catalog.model import Local, Package, Typical
from services.catalog.package import lock_path, parse
from services.catalog.schema import LocalEntry
from services.catalog.store import Recorder
from services.catalog.tree import Mark, Path, Row, Table, Value, where

_INSIDE: Path = ("x-hub", "local")


class LocalReader:
    """Reads the part for one service; `mark` is the service's own place."""

    def __init__(self, name: str, raw: Table, mark: Mark, files: Recorder, findings: Findings) -> None:
        self._name = name
        self._raw = raw
        self._mark = mark
        self._files = files
        self._findings = findings

    def read(self, entry: LocalEntry, variables: Mapping[str, str]) -> Local:
        """`variables`: what a name without a value in the environment stands for."""
        path = ("services", self._name, *_INSIDE, "environment")
        own = fields.pairs(self._environment(entry), path, self._findings)
        return Local(
            command=self._command(entry),
            package=self._package(entry),
            environment=MappingProxyType(fields.environment(own, {}, variables)),
            expose=entry.expose,
            requires=entry.requires,
            typical=Typical(**entry.typical.model_dump()),
        )

    def _command(self, entry: LocalEntry) -> tuple[str, ...]:
        try:
            command = fields.words(entry.command) if isinstance(entry.command, str) else entry.command
            if not command or not command[0]:
                raise ValueError("a command line, or a list of words")
        except ValueError as error:
            self._tell("command", str(error), entry.command if isinstance(entry.command, str) else "")
            return ()
        return command

    def _environment(self, entry: LocalEntry) -> Value:
        """As a tree again: it may have come from `x-hub`, from labels, or from both."""
        inside = (*_INSIDE, "environment")
        if isinstance(entry.environment, dict):
            table = Table()
            for key, value in entry.environment.items():
                table.put(key, value, where(self._raw, (*inside, key)))
            return table
        row = Row()
        for index, word in enumerate(entry.environment):
            row.add(word, where(self._raw, (*inside, index)))
        return row

    def _package(self, entry: LocalEntry) -> Package | None:
        if entry.package is None:
            if entry.lock is not None:
                self._tell("lock", "a package beside it", entry.lock)
            return None
        try:
            package = parse(entry.package)
        except ValueError as error:
            self._tell("package", str(error), entry.package)
            return None
        said = where(self._raw, (*_INSIDE, "package" if entry.lock is None else "lock"))
        lock = lock_path(package, self._name, entry.lock, said.file or self._mark.file)
        if self._files.exists(lock):
            return replace(package, lock=str(lock))
        if entry.lock is not None:
            self._tell("lock", "a file that is there", entry.lock)
        return package

    def _tell(self, key: str, wanted: str, value: object) -> None:
        inside = (*_INSIDE, key)
        place = where(self._raw, inside) if _INSIDE[0] in self._raw else self._mark
        self._findings.at(place, ("services", self._name, *inside), wanted, value)
