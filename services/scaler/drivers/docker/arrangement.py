"""What compose makes of each project: the images, hashes and real names of its parts, asked once for each change.

Owns the moment: compose is asked when a catalogue comes in, and not in the middle of a wake. Owns the override file of
each project. What the override says is the compose library's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.catalog.model import Catalog, Service, Stack
from services.compose.command import ComposeCli
from services.compose.override import override
from services.compose.override import text as override_text
from services.layout import Layout
from services.scaler.drivers.docker.holder_text import Holding, holdings
from services.scaler.drivers.docker.naming import belongs_to_gateway

log = logging.getLogger(__name__)

Token = tuple[Any, ...]
_HEADER = """Made by the hub and written again at each change of the project: what is lazy belongs to its gateway.
It is read last, after the project's own files."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One compose service."""

    image: str
    """Reference of its image; what is built has compose's own name for it."""
    built: bool
    pull_policy: str
    platform: str
    hash: str
    """What a container made now would carry as its configuration's hash."""
    networks: tuple[str, ...]
    """The engine's names of its networks."""


@dataclass(frozen=True, slots=True)
class Arranged:
    stack: Stack
    compose: ComposeCli
    entries: Mapping[str, Entry]
    """By compose's name of the service."""
    networks: Mapping[str, Mapping[str, Any]]
    """Key → what compose knows of it, its real name as `name`."""
    volumes: Mapping[str, str]
    """Key → the engine's name of it."""
    holdings: Mapping[str, Holding] = field(default_factory=dict)
    """By compose's name: services whose network belongs to a container of ours."""


class Stacks:
    """The projects of one catalogue."""

    def __init__(self, layout: Layout, *, hold: bool = False) -> None:
        """`hold`: have holders own the networks of what can be held."""
        self._layout = layout
        self._hold = hold
        self._holdable: Mapping[str, tuple[Service, ...]] = {}
        self._stacks: Mapping[str, Stack] = {}
        self._lazy: Mapping[str, tuple[str, ...]] = {}
        self._files: Sequence[str] = ()
        self._tokens: dict[str, Token] = {}
        self._asked: dict[str, asyncio.Task[Arranged]] = {}
        self._running: set[asyncio.Task[Arranged]] = set()
        self._turns: dict[str, asyncio.Lock] = {}

    def turn(self, project: str) -> asyncio.Lock:
        """Of runs of compose that must not meet."""
        return self._turns.setdefault(project, asyncio.Lock())

    def configure(self, catalog: Catalog) -> None:
        """Take in a catalogue; what has changed is asked for again at once, where a loop runs."""
        self._stacks, self._files = catalog.stacks, catalog.files
        lazy: dict[str, list[str]] = {}
        holdable: dict[str, tuple[Service, ...]] = {}
        for service in catalog.services.values():
            if service.lazy and service.containers:
                lazy.setdefault(service.containers.stack, []).append(service.containers.name)
                if self._hold and belongs_to_gateway(service):
                    project = service.containers.stack
                    holdable[project] = (*holdable.get(project, ()), service)
        self._holdable = holdable
        self._lazy = {project: tuple(sorted(names)) for project, names in lazy.items()}
        for project in list(self._tokens):
            if self._tokens[project] != self._token(project):
                self._forget(project)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        for project in self._stacks:
            self._ask(project)

    async def of(self, project: str) -> Arranged:
        """Raises ComposeError; the next call asks again. Raises KeyError for a project that is not in the catalogue."""
        return await asyncio.shield(self._ask(project))

    async def entry(self, service: Service) -> tuple[Arranged, Entry]:
        """As `of`. Raises KeyError too where compose does not know the service."""
        assert service.containers is not None
        arranged = await self.of(service.containers.stack)
        return arranged, arranged.entries[service.containers.name]

    def known(self, service: Service) -> Entry | None:
        """Without asking: None where compose has not answered yet."""
        task = self._asked.get(service.containers.stack) if service.containers else None
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result().entries.get(service.containers.name) if service.containers else None

    async def all(self) -> list[Arranged]:
        """Every project that compose understands."""
        found = await asyncio.gather(*(self.of(project) for project in self._stacks), return_exceptions=True)
        return [one for one in found if isinstance(one, Arranged)]

    async def close(self) -> None:
        """Compose is let finish: it only reads. Asked for nothing afterwards."""
        self._stacks = {}
        if self._running:
            await asyncio.wait(self._running)

    def _ask(self, project: str) -> asyncio.Task[Arranged]:
        task = self._asked.get(project)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            stack = self._stacks[project]
            self._tokens[project] = self._token(project)
            task = asyncio.get_running_loop().create_task(self._arrange(stack))
            self._asked[project] = task
            self._running.add(task)
            task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Arranged]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s", error)

    def _forget(self, project: str) -> None:
        self._tokens.pop(project, None)
        self._asked.pop(project, None)

    async def _arrange(self, stack: Stack) -> Arranged:
        path = self._layout.compose / f"{stack.project}.yml"
        candidates = self._holdable.get(stack.project, ())
        resolved = await ComposeCli(stack, None).config()
        found, left = holdings(candidates, resolved, self._layout.mark)
        for name, why in left.items():
            log.info("%s of project %s keeps a network of its own: %s", name, stack.project, why)
        write_override(
            path, resolved, self._lazy.get(stack.project, ()), {name: one.name for name, one in found.items()}
        )
        compose = ComposeCli(stack, path)
        hashes = await compose.hashes()
        networks = {key: said or {} for key, said in (resolved.get("networks") or {}).items()}
        volumes = {key: (said or {}).get("name", key) for key, said in (resolved.get("volumes") or {}).items()}
        entries = {
            name: _entry(stack.project, name, said, hashes.get(name, ""), networks)
            for name, said in (resolved.get("services") or {}).items()
        }
        return Arranged(stack, compose, entries, networks, volumes, found)

    def _token(self, project: str) -> Token:
        """Differs whenever compose might answer otherwise."""
        stack = self._stacks.get(project)
        if stack is None:
            return ()
        below = f"{stack.directory}/"
        read = {*stack.files, f"{below}.env", *(file for file in self._files if file.startswith(below))}
        holdable = tuple((one.name, one.ports, one.scaling.max_replicas) for one in self._holdable.get(project, ()))
        return (stack, self._lazy.get(project, ()), holdable, tuple(_stamp(Path(file)) for file in sorted(read)))


def write_override(path: Path, resolved: Mapping[str, Any], lazy: Collection[str], holders: Mapping[str, str]) -> None:
    """Bring the override of one project up to date; none where there is nothing to say. Raises OSError."""
    said = override(resolved, lazy, holders)
    if not said:
        path.unlink(missing_ok=True)
        return
    text = override_text(said, _HEADER)
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _entry(
    project: str, name: str, said: Mapping[str, Any], digest: str, networks: Mapping[str, Mapping[str, Any]]
) -> Entry:
    return Entry(
        image=str(said.get("image") or f"{project}-{name}").replace("$$", "$"),
        built="build" in said,
        pull_policy=str(said.get("pull_policy") or ""),
        platform=str(said.get("platform") or ""),
        hash=digest,
        networks=tuple(str(networks[key].get("name", key)) for key in said.get("networks") or () if key in networks),
    )
