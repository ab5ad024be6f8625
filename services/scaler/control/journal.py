"""Every event the fleet was given, with its time, behind the state it was given to: enough to rebuild any later state.

    DATA/state/journal.jsonl      line 1: the state; then an event a line
    DATA/state/journal.1.jsonl    the one before

Written before the effects are begun, flushed to the kernel and not to the disk: a killed scaler loses nothing, a
power cut at most the last second, and what runs is found again in any case. Secrets never come here: the catalogue's
environments are left out of the record, and nothing that is decided depends on them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, get_args

from pydantic import TypeAdapter

from services.catalog.model import Catalog, Local, Service
from services.scaler.core.events import CatalogLoaded, Event, Restarted
from services.scaler.core.fleet import Fleet
from services.scaler.core.state import ServiceState, Settings
from services.scaler.core.world import World

log = logging.getLogger(__name__)

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {}
_LONGEST = 2 << 20
"""Bytes of events after which a new file is begun, unless the state alone has more; replaying them takes well under a
second."""
_REST_AFTER_FAULT = 5.0
"""Seconds until a journal that could not be written is begun anew: the whole state is written then."""


class Journal:
    """Appends; one writer. `begin` must come first.

    A disk that takes no more must not stop a wake, so nothing here raises. What is missing a line is no journal any
    more: it ends there, and a new one begins, from the state as it is then, when there is room.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.jsonl"
        self._file: TextIO | None = None
        self._size = 0
        """Of the events."""
        self._most = _LONGEST
        self._again = float("-inf")
        """Not before then a file is begun once more."""

    def begin(self, world: World) -> None:
        """Start a new file from this state; the one before is kept once."""
        partial = self.path.with_suffix(".partial")
        try:
            file = open(partial, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 (kept open for our life)
        except OSError as error:
            self._give_up(error, world.now)
            return
        before, self._file, self._size = self._file, file, 0
        try:
            os.chmod(partial, 0o600)
            # A large state is not written again before as much has come behind it.
            self._most = max(_LONGEST, self._write({"state": dump_world(world)}))
            if self.path.exists():
                os.replace(self.path, self.path.with_suffix(".1.jsonl"))
            os.replace(partial, self.path)
        except OSError as error:
            self._give_up(error, world.now)
        if before is not None:
            _close(before)

    def record(self, event: Event, now: float, world: World) -> None:
        """Note an event that `world` has just taken in."""
        if self._file is None or self._size > self._most:
            if now >= self._again:
                self.begin(world)
            return
        try:
            self._size += self._write({"at": now, "is": type(event).__name__, "event": dump_event(event)})
        except OSError as error:
            self._give_up(error, now)

    def close(self) -> None:
        if self._file is not None:
            _close(self._file)
            self._file = None

    def _write(self, record: Mapping[str, Any]) -> int:
        """Returns its length."""
        assert self._file is not None
        return self._file.write(json.dumps(record, default=_plain, separators=(",", ":")) + "\n")

    def _give_up(self, error: OSError, now: float) -> None:
        log.warning("the journal cannot be written: %s", error)
        self.close()
        self._again = now + _REST_AFTER_FAULT


def _close(file: TextIO) -> None:
    with contextlib.suppress(OSError):  # what could not be written has been told of
        file.close()


def restore(folder: Path, settings: Settings) -> Fleet:
    """The fleet as the last journal leaves it; a new one where there is none or it can't be read (then what was learned
    of sizes and start times is learned again)."""
    fleet = Fleet(settings)
    path = folder / "journal.jsonl"
    if not path.exists():
        return fleet
    try:
        for number, record in enumerate(_records(path)):
            if number == 0:
                load_world(record["state"], fleet.world)
            else:
                fleet.handle(load_event(record["is"], record["event"]), record["at"])
    except Exception as error:
        log.warning("%s is not readable (%s: %s); starting without what it knew", path, type(error).__name__, error)
        return Fleet(settings)
    return fleet


def dump_event(event: Event) -> Any:
    match event:
        case CatalogLoaded() | Restarted():
            event = dataclasses.replace(event, catalog=_without_secrets(event.catalog))
        case _:
            pass
    return _adapter(type(event).__name__).dump_python(event)


def load_event(kind: str, data: Any) -> Event:
    event: Event = _adapter(kind).validate_python(data)
    return event


def dump_world(world: World) -> dict[str, Any]:
    adapter = TypeAdapter(dict[str, ServiceState])
    return {
        "now": world.now,
        "attempt": world.attempts,
        "catalog": TypeAdapter(Catalog).dump_python(_without_secrets(world.catalog)),
        "services": adapter.dump_python(
            {name: dataclasses.replace(s, spec=_bare(s.spec)) for name, s in world.services.items()}
        ),
        "budget": world.budget,
        "queue": list(world.queue),
        "timers": world.timers,
        "closing": world.closing,
    }


def load_world(data: Mapping[str, Any], world: World) -> None:
    """Fill an empty world with what `dump_world` wrote."""
    world.now, world.attempts = data["now"], data["attempt"]
    world.catalog = TypeAdapter(Catalog).validate_python(data["catalog"])
    world.services = TypeAdapter(dict[str, ServiceState]).validate_python(data["services"])
    world.budget = dict(data["budget"])
    world.queue = dict.fromkeys(data["queue"])
    world.timers = [(at, name) for at, name in data["timers"]]
    world.closing = data["closing"]
    world.demand_of = {demand: s.name for s in world.services.values() for demand in s.demands}
    world.replica_of = {replica: s.name for s in world.services.values() for replica in s.replicas}


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return  # the last write was cut off; its effects had not begun
            yield json.loads(line)


def _adapter(kind: str) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(_KINDS[kind])
    return _ADAPTERS[kind]


def _without_secrets(catalog: Catalog) -> Catalog:
    bare = {name: _bare(spec) for name, spec in catalog.services.items()}
    return dataclasses.replace(catalog, services=bare, stacks={})


def _bare(spec: Service) -> Service:
    """What decisions depend on; the text of environments, commands and labels is not among it."""
    local = Local((), environment={}, typical=spec.local.typical) if spec.local else None
    return dataclasses.replace(spec, environment={}, labels={}, local=local, containers=None)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in the journal")
