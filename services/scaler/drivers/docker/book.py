"""What every container of the engine's compose projects is right now: kept from events, put right by listings. Pure.

Owns reading the engine's events and listings. It keeps no replica, asks nothing and waits for nothing: `watch.py` feeds
it and passes on what has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
HASH = "com.docker.compose.config-hash"
IMAGE = "com.docker.compose.image"
ONEOFF = "com.docker.compose.oneoff"
_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")


class State(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class What(StrEnum):
    """A change, as far as it concerns somebody."""

    CREATED = "created"
    STARTED = "started"
    ENDED = "ended"
    PAUSED = "paused"
    UNPAUSED = "unpaused"
    REMOVED = "removed"
    HEALTH = "health"
    OOM = "oom"
    SIGNALLED = "signalled"
    """Somebody had the engine send it a signal, as `docker stop` does; it still runs."""


@dataclass(frozen=True, slots=True)
class Container:
    id: str
    name: str
    project: str
    service: str
    """As compose calls it."""
    number: int
    state: State
    hash: str = ""
    """Compose's own digest of the entry that it was made from."""
    image: str = ""
    """Reference of its image, as it was given."""
    image_id: str = ""
    """Of the image that compose made it from."""
    exit_code: int | None = None
    health: str | None = None
    """`starting`, `healthy`, `unhealthy`; None where it has no health check or none has run."""

    @property
    def runs(self) -> bool:
        return self.state in (State.RUNNING, State.PAUSED)


@dataclass(frozen=True, slots=True)
class Change:
    what: What
    container: Container
    """As it is after the change; of a removed one as it was."""


class Book:
    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}

    def get(self, container: str) -> Container | None:
        return self._containers.get(container)

    def of(self, project: str, service: str) -> list[Container]:
        """Those of one compose service, by number."""
        found = [one for one in self._containers.values() if (one.project, one.service) == (project, service)]
        return sorted(found, key=lambda one: one.number)

    def __iter__(self) -> Iterator[Container]:
        return iter(tuple(self._containers.values()))

    def take(self, event: Mapping[str, Any]) -> Change | None:
        """Take in one event of a container; None where it changes nothing that is kept."""
        identity, attributes = event["Actor"]["ID"], event["Actor"].get("Attributes") or {}
        known = self._containers.get(identity) or _container(
            identity, attributes.get("name", ""), attributes, State.CREATED, image=attributes.get("image", "")
        )
        if known is None:
            return None
        action, _, detail = str(event["Action"]).partition(":")
        match action:
            case "create":
                return self._note(What.CREATED, known)
            case "start":
                return self._note(What.STARTED, replace(known, state=State.RUNNING, exit_code=None, health=None))
            case "die":
                code = attributes.get("exitCode", "")
                ended = replace(known, state=State.ENDED, exit_code=int(code) if code.isdigit() else None)
                return self._note(What.ENDED, ended)
            case "pause":
                return self._note(What.PAUSED, replace(known, state=State.PAUSED))
            case "unpause":
                return self._note(What.UNPAUSED, replace(known, state=State.RUNNING))
            case "health_status":
                return self._note(What.HEALTH, replace(known, health=detail.strip()))
            case "oom":
                return self._note(What.OOM, known)
            case "kill":
                return self._note(What.SIGNALLED, known)
            case "rename":
                self._containers[identity] = replace(known, name=attributes.get("name", known.name))
                return None
            case "destroy":
                return Change(What.REMOVED, known) if self._containers.pop(identity, None) else None
            case _:
                return None

    def put_right(self, rows: Iterable[Mapping[str, Any]]) -> list[Change]:
        """Take in a listing of all containers: what has changed since, as if it had been told."""
        found = {one.id: one for row in rows if (one := _listed(row))}
        changes = [Change(What.REMOVED, one) for one in self._containers.values() if one.id not in found]
        for one in found.values():
            before = self._containers.get(one.id)
            if before is None or before.state is not one.state:
                changes.append(Change(_became(before, one.state), one))
        self._containers = found
        return changes

    def learn(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in a listing of some containers, silently; their events follow."""
        for row in rows:
            if one := _listed(row):
                self._containers[one.id] = one

    def forget(self, container: str) -> None:
        self._containers.pop(container, None)

    def _note(self, what: What, container: Container) -> Change:
        self._containers[container.id] = container
        return Change(what, container)


def _became(before: Container | None, state: State) -> What:
    match state:
        case State.CREATED:
            return What.CREATED
        case State.PAUSED:
            return What.PAUSED
        case State.ENDED:
            return What.ENDED
        case State.RUNNING:
            return What.UNPAUSED if before and before.state is State.PAUSED else What.STARTED


def _listed(row: Mapping[str, Any]) -> Container | None:
    name = (row.get("Names") or [""])[0].removeprefix("/")
    state = {"created": State.CREATED, "running": State.RUNNING, "paused": State.PAUSED}.get(row["State"], State.ENDED)
    if row["State"] == "restarting":
        state = State.ENDED
    health = _HEALTH.search(row.get("Status") or "")
    return _container(
        row["Id"],
        name,
        row.get("Labels") or {},
        state,
        image=row.get("Image", ""),
        health=health[1] if health else None,
    )


def _container(
    identity: str,
    name: str,
    labels: Mapping[str, str],
    state: State,
    *,
    image: str = "",
    health: str | None = None,
) -> Container | None:
    """None for what is no replica of a compose service."""
    if PROJECT not in labels or SERVICE not in labels or labels.get(ONEOFF, "False") != "False":
        return None
    number = labels.get(NUMBER, "1")
    return Container(
        id=identity,
        name=name,
        project=labels[PROJECT],
        service=labels[SERVICE],
        number=int(number) if number.isdigit() else 1,
        state=state,
        hash=labels.get(HASH, ""),
        image=image,
        image_id=labels.get(IMAGE, ""),
        health=health,
    )
