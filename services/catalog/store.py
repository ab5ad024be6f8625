"""Files as they are now: read once, parsed once, and parsed again only where their content has changed.

Owns the cache that makes taking in one changed file of many cheap. A file is known by size and time of change; one
that changed within the last moments is read again whatever they say, since two writes can fall into one tick of the
clock. Everything kept is keyed by content, so a touched file with the same text costs a read and nothing more.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from services.catalog import yaml_reader
from services.catalog.faults import Fault
from services.catalog.tree import Value

_RECENT_NS = 2_000_000_000
_LARGEST_LOCK = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Text:
    data: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Documents:
    """A parsed file. The same object as long as the content is the same."""

    values: tuple[Value, ...]
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class _Entry:
    stamp: tuple[int, int, int]
    read_at: int
    text: Text
    documents: Documents | None = None


class Store:
    """One per reader; not for use by two threads at once."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._digests: dict[str, tuple[tuple[int, int, int], int, str]] = {}
        self._used: dict[str, None] = {}

    def begin(self) -> None:
        """Before each reading: forgets which files the last one used."""
        self._used = {}

    @property
    def used(self) -> tuple[str, ...]:
        """Every file that was asked for since `begin`, also those that are not there: a watcher looks at all."""
        return tuple(self._used)

    def finish(self) -> None:
        """After each reading: lets go of files that it did not ask for."""
        self._entries = {name: entry for name, entry in self._entries.items() if name in self._used}

    def text(self, path: Path) -> Text:
        """Raises OSError."""
        name = str(path)
        self._used[name] = None
        stat = os.stat(path)
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        entry = self._entries.get(name)
        if entry and entry.stamp == stamp and entry.read_at - stamp[0] > _RECENT_NS:
            return entry.text
        now = time.time_ns()
        if stat.st_size > yaml_reader.LARGEST_FILE:
            return Text(b"\0" * (yaml_reader.LARGEST_FILE + 1), "too large")
        data = _regular(path)
        digest = hashlib.sha256(data).hexdigest()
        if entry and entry.text.digest == digest:
            entry.stamp, entry.read_at = stamp, now
            return entry.text
        self._entries[name] = _Entry(stamp, now, Text(data, digest))
        return self._entries[name].text

    def documents(self, path: Path) -> Documents:
        """Raises OSError, and YamlFault where the file cannot be read as YAML."""
        text = self.text(path)
        entry = self._entries.get(str(path))
        if entry is None or entry.text is not text:
            values, faults = yaml_reader.read(text.data, str(path))
            return Documents(tuple(values), tuple(faults))
        if entry.documents is None:
            values, faults = yaml_reader.read(text.data, str(path))
            entry.documents = Documents(tuple(values), tuple(faults))
        return entry.documents

    def digest(self, path: Path) -> str:
        """A hash of a file of any kind and size that is not read otherwise, such as a lock. Raises OSError."""
        name = str(path)
        self._used[name] = None
        stat = os.stat(path)
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._digests.get(name)
        if known is None or known[0] != stamp or known[1] - stamp[0] <= _RECENT_NS:
            if not path.is_file() or stat.st_size > _LARGEST_LOCK:
                raise OSError(27, "this is no plain file of at most 64 MiB", name)
            known = (stamp, time.time_ns(), hashlib.sha256(path.read_bytes()).hexdigest())
            self._digests[name] = known
        return known[2]

    def state(self, path: Path) -> str | None:
        """The digest of a file, or None where it is not there or cannot be read."""
        try:
            return self.digest(path)
        except OSError:
            return None

    def exists(self, path: Path) -> bool:
        self._used[str(path)] = None
        return path.is_file()


class Recorder:
    """A store that remembers what was asked of it, to know later whether the answer would still be the same."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: dict[Path, str | None] = {}

    def text(self, path: Path) -> Text:
        self._note(path)
        return self._store.text(path)

    def digest(self, path: Path) -> str:
        self._note(path)
        return self._store.digest(path)

    def exists(self, path: Path) -> bool:
        self._note(path)
        return self._store.exists(path)

    def _note(self, path: Path) -> None:
        self.asked[path] = self._store.state(path)


def _regular(path: Path) -> bytes:
    """The content of a plain file; a pipe or a device would block or never end."""
    if path.is_dir():
        raise IsADirectoryError(21, "it is a folder; name the compose file in it", str(path))
    if not path.is_file():
        raise IsADirectoryError(21, "this is no plain file", str(path))
    with path.open("rb") as file:
        return file.read(yaml_reader.LARGEST_FILE + 1)
