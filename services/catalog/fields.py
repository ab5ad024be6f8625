"""Compose fields of one service → plain values: environment, labels, volumes, dependencies, limits, health.

Owns what the text of each field means; which of them a service needs, and how they go together, is `build`'s. Every
reader takes the raw field, tells faults to `findings` and answers with what could be read.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from services.catalog import units
from services.catalog.faults import Findings
from services.catalog.keys import Shape, fits, flag
from services.catalog.merge import as_names, as_pairs
from services.catalog.model import Condition, Dependency, Resources, Volume
from services.catalog.scalars import text_of
from services.catalog.tree import Path, Row, Table, Value

_KINDS = ("bind", "volume", "tmpfs", "cluster", "npipe", "image")
_VOLUME = ("type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs", "image", "nocopy")
_DEPENDENCY = ("condition", "required", "restart")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_URL = re.compile(r"https?://[^\s'\"|;&)]+")


@dataclass(frozen=True, slots=True)
class Check:
    """What a compose healthcheck asks, where that is a plain GET."""

    port: int
    path: str


def pairs(value: Value, path: Path, findings: Findings) -> dict[str, str | None]:
    """`environment` or `labels`, as list or mapping; None for a name without a value."""
    found: dict[str, str | None] = {}
    for key, item, mark in as_pairs(value, path, findings).places():
        if isinstance(item, str | int | float | None):
            found[key] = None if item is None else text_of(item)
        else:
            findings.at(mark, (*path, key), "a text, a number, true, false or nothing", item)
    return found


def environment(
    own: Mapping[str, str | None], files: Mapping[str, str | None], variables: Mapping[str, str]
) -> dict[str, str]:
    """`environment` over `env_file`; a name without a value stands for the variable of that name, or for nothing."""
    merged = {**files, **own}
    resolved = {key: variables.get(key) if value is None else value for key, value in merged.items()}
    return {key: value for key, value in resolved.items() if value is not None}


def volumes(row: Row, path: Path, directory: FilePath, findings: Findings) -> tuple[Volume, ...]:
    found: list[Volume] = []
    for index, item, mark in row.places():
        try:
            volume = _long_volume(item, (*path, index), directory, findings) if isinstance(item, Table) else None
            volume = volume or (_short_volume(item, directory) if not isinstance(item, Table) else None)
        except ValueError as error:
            findings.at(mark, (*path, index), str(error), item)
            continue
        if volume is not None:
            found.append(volume)
    return tuple(found)


def _short_volume(item: Value, directory: FilePath) -> Volume:
    if not isinstance(item, str) or not item:
        raise ValueError("a volume such as data:/data or ./config:/config:ro")
    parts = item.split(":")
    if len(parts) == 1 or (len(parts) == 2 and len(parts[0]) == 1 and parts[0].isalpha()):
        # A single letter before the colon is a drive to compose, hence a target.
        return Volume("", item, named=True)
    source, target = parts[0], parts[1]
    if not source or not target or len(parts) > 3:
        raise ValueError("a volume such as data:/data or ./config:/config:ro")
    modes = parts[2].split(",") if len(parts) == 3 else []
    named = not source.startswith((".", "/", "~"))
    return Volume(source if named else _absolute(source, directory), target, "ro" in modes, named)


def _long_volume(table: Table, path: Path, directory: FilePath, findings: Findings) -> Volume | None:
    for key, _, mark in table.places():
        if key not in _VOLUME and not key.startswith("x-"):
            findings.at(mark, (*path, key), f"one of {', '.join(_VOLUME)}", key, findings.near(key, _VOLUME))
    what, source, target = table.get("type"), table.get("source", ""), table.get("target", "")
    if what not in _KINDS:
        raise ValueError(f"a volume with a type of {', '.join(_KINDS)}")
    if not isinstance(source, str) or not isinstance(target, str):
        raise ValueError("a volume whose source and target are texts")
    read_only = table.get("read_only", False)
    if not fits(Shape.FLAG, read_only):
        findings.found(table, ("read_only",), str(Shape.FLAG), read_only, under=path)
        read_only = False
    if what == "bind":
        if not source:
            raise ValueError("a bind mount with a source")
        return Volume(_absolute(source, directory), target, flag(read_only), named=False)
    return Volume(source, target, flag(read_only)) if what == "volume" else None


def _absolute(source: str, directory: FilePath) -> str:
    return os.path.normpath(directory / os.path.expanduser(source))


def dependencies(value: Value, path: Path, findings: Findings) -> tuple[Dependency, ...]:
    found: list[Dependency] = []
    for name, entry, mark in as_names(value, path).places():
        if not isinstance(entry, Table):
            findings.at(mark, (*path, name), "a mapping with condition", entry)
            continue
        for key, _, at in entry.places():
            if key not in _DEPENDENCY:
                findings.at(
                    at, (*path, name, key), f"one of {', '.join(_DEPENDENCY)}", key, findings.near(key, _DEPENDENCY)
                )
        condition, required = entry.get("condition"), entry.get("required", True)
        if condition not in tuple(Condition):
            wanted = f"a condition of {', '.join(Condition)}"
            findings.at(entry.marks.get("condition", mark), (*path, name, "condition"), wanted, condition)
            continue
        if not fits(Shape.FLAG, required):
            findings.at(entry.marks.get("required", mark), (*path, name, "required"), str(Shape.FLAG), required)
            continue
        found.append(Dependency(name, Condition(str(condition)), flag(required)))
    return tuple(found)


def resources(service: Table, path: Path, findings: Findings) -> Resources:
    """`deploy.resources` and the older keys beside it, which must not contradict it."""
    limits, reserved = ("deploy", "resources", "limits"), ("deploy", "resources", "reservations")

    def either(*keys: tuple[str, ...], parse: Callable[[Value], float]) -> float | None:
        said: dict[tuple[str, ...], float] = {}
        for where in keys:
            if (raw := _inside(service, where)) is not None:
                try:
                    said[where] = parse(raw)
                except ValueError as error:
                    findings.found(service, where, str(error), raw, under=path)
        if len(set(said.values())) > 1:
            first, second = said
            wanted = f"the same as {'.'.join(first)}, or only one of the two"
            findings.found(service, second, wanted, _inside(service, second), under=path)
        return next(iter(said.values()), None)

    memory = either((*limits, "memory"), ("mem_limit",), parse=units.size)
    reservation = either((*reserved, "memory"), ("mem_reservation",), parse=units.size)
    cpus = either((*limits, "cpus"), ("cpus",), parse=units.cores)
    return Resources(
        memory_limit=None if memory is None else int(memory),
        memory_reservation=None if reservation is None else int(reservation),
        cpus=cpus,
    )


def _inside(table: Value, where: tuple[str, ...]) -> Value:
    for step in where:
        table = table.get(step) if isinstance(table, Table) else None
    return table


def health_check(value: Value, path: Path, findings: Findings) -> Check | None:
    """The GET of a healthcheck that asks by curl or wget; None for every other test."""
    if not isinstance(value, Table):
        return None
    for key in ("interval", "timeout", "start_period", "start_interval"):
        if isinstance(text := value.get(key), str):
            try:
                units.seconds(text)
            except ValueError as error:
                findings.at(value.marks[key], (*path, key), str(error), text)
    test = value.get("test")
    if isinstance(test, Row):
        words = [word for word in test if isinstance(word, str)]
        if words and words[0] not in ("CMD", "CMD-SHELL", "NONE"):
            findings.at(
                value.marks["test"], (*path, "test"), "a list that begins with CMD, CMD-SHELL or NONE", words[0]
            )
            return None
        test = " ".join(words[1:])
    return _plain_get(test) if isinstance(test, str) else None


def _plain_get(test: str) -> Check | None:
    if not re.search(r"\b(?:curl|wget)\b", test):
        return None
    url = _URL.search(test)
    if url is None:
        return None
    try:
        parts = urlsplit(url.group())
        port = parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in _LOCAL_HOSTS:
        return None
    return Check(port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def words(value: Value) -> tuple[str, ...]:
    """A command as a list of words. Raises ValueError where quotes do not close or a word is no text."""
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError:
            raise ValueError("a command whose quotes close") from None
    if isinstance(value, Row) and all(isinstance(word, str) for word in value):
        return tuple(str(word) for word in value)
    raise ValueError("a command line, or a list of words")
