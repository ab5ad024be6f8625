"""A declarative file as values: what is left when the text has proven right.

KongFileError    all problems of a file, each with its place
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    place: str
    """`services.chroma.api.routes.chroma.api.path.paths`: entities by their names where they have one."""
    wanted: str
    """What would be right."""
    value: str = ""
    """What stands there, short enough to show; empty for secrets."""

    def __str__(self) -> str:
        return f"{self.place}: {self.wanted}" + (f", not {self.value}" if self.value else "")


class KongFileError(Exception):
    """Every problem of a file, in its order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Plugin:
    name: str
    config: Mapping[str, object]
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    protocols: frozenset[str]
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: Mapping[str, tuple[str, ...]] | None = None
    strip_path: bool = True
    preserve_host: bool = False
    request_buffering: bool = True
    response_buffering: bool = True
    regex_priority: int = 0
    plugins: tuple[Plugin, ...] = ()


@dataclass(frozen=True, slots=True)
class KongService:
    """Defaults are Kong's own: what a file leaves out means them."""

    name: str
    url: str
    retries: int = 5
    connect_timeout: int = 60000
    """Milliseconds, as all three."""
    read_timeout: int = 60000
    write_timeout: int = 60000
    tags: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    plugins: tuple[Plugin, ...] = ()


@dataclass(frozen=True, slots=True)
class Consumer:
    name: str
    keys: tuple[str, ...] = ()
    plugins: tuple[Plugin, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    services: tuple[KongService, ...]
    plugins: tuple[Plugin, ...] = ()
    """Of every request."""
    consumers: tuple[Consumer, ...] = ()
