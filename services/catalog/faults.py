"""What is wrong with a catalogue, as values, and the one report that tells all of it.

Owns the wording's frame (`file:line:column: field: what was expected, not VALUE (hint)`) and the cutting of values
that are too long to show. Which fault there is, is said by whoever finds it. Secrets: the value of an environment
variable is never shown, whichever step finds the fault.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from services.catalog.tree import Mark, Moment, Path, Value, kind, where

_SHOWN = 60
_LEAST_START = 3
_MOST_HINTS = 50
_MOST_FAULTS = 400
"""Of one reading step: a report shows no more, and a file of nothing but faults must not take long."""
_MOST_LINES = 200
_SECRET_FIELDS = ("environment", "args", "secrets")


@dataclass(frozen=True, slots=True)
class Fault:
    file: str
    line: int
    """From 1; 0 where the fault is of the file as a whole."""
    column: int
    field: str
    """Dotted path, `services.tabby.x-hub.scaling.idle_timeout`; empty for the file as a whole."""
    expected: str
    """What would be right, with its bounds."""
    value: str | None = None
    """What stands there instead, short enough to show; None where there is nothing to show."""
    hint: str = ""
    unread: bool = False
    """The text there could not even be read, so that what else is said of this place only follows from that."""

    def render(self, base: str | None = None) -> str:
        """One line, file names relative to `base` (the working folder unless given)."""
        place = _short(self.file, base)
        if self.line:
            place += f":{self.line}:{self.column}" if self.column else f":{self.line}"
        parts = [part for part in (place, self.field) if part]
        text = ": ".join([*parts, self.expected])
        if self.value is not None:
            text += f", not {self.value}"
        return _printable(f"{text} ({self.hint})" if self.hint else text)


class CatalogError(Exception):
    """Every fault of every file, in the order of files and lines."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        causes = _causes(dict.fromkeys(faults))
        self.faults: tuple[Fault, ...] = tuple(sorted(causes, key=lambda f: (f.file, f.line, f.column, f.field)))
        super().__init__(self.faults)

    def render(self, base: str | None = None) -> str:
        """The report for a terminal: one line a fault, then how many there are."""
        count, files = len(self.faults), len({fault.file for fault in self.faults})
        lines = [fault.render(base) for fault in self.faults[:_MOST_LINES]]
        if count > _MOST_LINES:
            lines.append(f"… and {count - _MOST_LINES} more")
        lines.append(f"{count} fault{'s' * (count != 1)} in {files} file{'s' * (files != 1)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


def _causes(faults: Iterable[Fault]) -> Iterator[Fault]:
    """Of a text that could not be read, one fault: an anchor stands in many services, and what they make of its text
    only follows. In a service rather than in a part of which services are made."""
    found = list(faults)
    unread: dict[tuple[str, int, int], list[Fault]] = {}
    for fault in found:
        if fault.unread:
            unread.setdefault((fault.file, fault.line, fault.column), []).append(fault)
    for same in unread.values():
        yield min(same, key=lambda one: (not one.field.startswith("services."), one.field))
    yield from (fault for fault in found if (fault.file, fault.line, fault.column) not in unread)


class Findings:
    """Collects faults and notes of one reading step, each with its place in `root`."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.notes: list[tuple[str, str]] = []
        """(what, service): told together for all services at the end."""
        self._hints = _MOST_HINTS

    def at(self, mark: Mark, path: Path, expected: str, value: object = ..., hint: str = "") -> None:
        if len(self.faults) >= _MOST_FAULTS:
            return
        shown = None if value is ... else show(value, path)
        self.faults.append(Fault(mark.file, mark.line, mark.column, dotted(path), expected, shown, hint))

    def unread(self, mark: Mark, path: Path, expected: str, value: object) -> None:
        """A fault of a text that cannot be read; see `Fault.unread`."""
        count = len(self.faults)
        self.at(mark, path, expected, value)
        self.faults[count:] = [replace(fault, unread=True) for fault in self.faults[count:]]

    def found(
        self, root: Value, path: Path, expected: str, value: object = ..., hint: str = "", under: Path = ()
    ) -> None:
        """A fault at `path` below `root`, whose place is looked up there; `under` is where `root` itself is."""
        self.at(where(root, path), (*under, *path), expected, value, hint)

    def near(self, word: str, known: Iterable[str]) -> str:
        """`nearest` for the first words of a reading: a file of wrong words must not cost a search for each."""
        self._hints -= 1
        return nearest(word, known) if self._hints >= 0 else ""

    def note(self, what: str, service: str = "") -> None:
        self.notes.append((what, service))


def show(value: object, path: Path = ()) -> str:
    """A value as a report may show it: short, on one line, and never that of an environment variable."""
    if any(step in _SECRET_FIELDS for step in path) and not isinstance(value, dict | list | None):
        return f"{kind(value)} that is not shown here"
    if isinstance(value, dict | list):
        return kind(value) if value else f"{kind(value)} that is empty"
    if value is None:
        return "nothing"
    if isinstance(value, Moment):
        return f"the date {value.text}"
    text = ("true" if value else "false") if isinstance(value, bool) else _printable(str(value)[: _SHOWN * 2])
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return f"'{text}'" if isinstance(value, str) else text


def dotted(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{_printable(step[:_SHOWN])}"
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a word that nobody knows: `did you mean …?`, empty where nothing is near."""
    words = list(known)
    close = difflib.get_close_matches(word[:_SHOWN], words, n=1, cutoff=0.6)
    if not close and len(word) >= _LEAST_START:
        close = [other for other in words if other.startswith(word)][:1]
    return f"did you mean {close[0]!r}?" if close else ""


def close(word: str, other: str) -> bool:
    """Whether one is most likely a slip of the pen for the other."""
    return bool(difflib.get_close_matches(word[:_SHOWN], [other], n=1, cutoff=0.8))


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(s if s.isprintable() else repr(s)[1:-1] for s in text)


def _short(file: str, base: str | None) -> str:
    try:
        folder = FilePath(base or os.getcwd())
        # Whoever works in / is no person who stands there, but a process in the background.
        return file if folder == FilePath("/") else str(FilePath(file).relative_to(folder))
    except (ValueError, OSError):
        return file
