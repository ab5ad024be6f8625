"""Plain data that remembers where it was written: tables, rows and scalars with the file, line and column of each.

Owns the containers that every reading step passes on. A `Table` is a dict and a `Row` a list, so steps that do not
care for places treat them as such; merging copies places along with values, hence a fault found at the end of all
steps can still name the line somebody has to edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in a file, both counted from 1."""

    file: str
    line: int
    column: int


NOWHERE = Mark("", 0, 0)


class Table(dict[str, "Value"]):
    """A mapping; `marks` holds the place of each key, `mark` its own."""

    __slots__ = ("mark", "marks")

    def __init__(self, mark: Mark = NOWHERE) -> None:
        super().__init__()
        self.mark = mark
        self.marks: dict[str, Mark] = {}

    def put(self, key: str, value: Value, mark: Mark) -> None:
        self[key] = value
        self.marks[key] = mark

    def drop(self, key: str) -> None:
        self.pop(key, None)
        self.marks.pop(key, None)

    def places(self) -> Iterator[tuple[str, Value, Mark]]:
        for key, value in self.items():
            yield key, value, self.marks.get(key, self.mark)

    def duplicate(self) -> Table:
        """One level deep: what is inside is shared, as values of the tree are never changed in place."""
        other = Table(self.mark)
        other.update(self)
        other.marks.update(self.marks)
        return other


class Row(list["Value"]):
    """A sequence; `marks[i]` is the place of its i-th item."""

    __slots__ = ("mark", "marks")

    def __init__(self, mark: Mark = NOWHERE) -> None:
        super().__init__()
        self.mark = mark
        self.marks: list[Mark] = []

    def add(self, value: Value, mark: Mark) -> None:
        self.append(value)
        self.marks.append(mark)

    def places(self) -> Iterator[tuple[int, Value, Mark]]:
        for index, value in enumerate(self):
            yield index, value, self.marks[index]


@dataclass(frozen=True, slots=True)
class Override:
    """`!override`: replaces what earlier files said instead of being merged with it."""

    value: Value


@dataclass(frozen=True, slots=True)
class Reset:
    """`!reset`: removes what earlier files said."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A plain scalar that YAML reads as a date; compose takes it nowhere a service has a value."""

    text: str


Value = Scalar | Table | Row | Override | Reset | Moment


def where(root: Value, path: Sequence[str | int]) -> Mark:
    """The place of `path`, or of the deepest part of it that was written."""
    mark = root.mark if isinstance(root, Table | Row) else NOWHERE
    for step in path:
        if isinstance(root, Override):
            root = root.value
        if isinstance(root, Table) and isinstance(step, str) and step in root:
            mark = root.marks.get(step, mark)
            root = root[step]
        elif isinstance(root, Row) and isinstance(step, int) and step < len(root):
            mark = root.marks[step]
            root = root[step]
        else:
            break
    return mark


def kind(value: object) -> str:
    """What a value is, in words of the file's author."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case Moment():
            return "a date"
        case _:
            return "a tagged value"
