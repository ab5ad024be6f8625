"""Text → tree: YAML as compose reads it, with the place of every key, and hostile files stopped at the door.

Owns parsing alone: anchors, aliases, merge keys, duplicate keys, the tags `!reset` and `!override`. The C parser
composes nodes; scalars, merges and places are ours, because PyYAML's constructors know YAML 1.1 only and forget lines.
Limits are on what a file may cost before anything is built from it: its size, its depth, and how much its aliases
expand to (a few lines of aliases can otherwise mean billions of values).
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from services.catalog.faults import Fault, show
from services.catalog.scalars import plain
from services.catalog.tree import Mark, Override, Reset, Row, Scalar, Table, Value

LARGEST_FILE = 2 * 2**20
DEEPEST = 100
MOST_VALUES = 120_000
_MOST_DOCUMENTS = 100
_MOST_FAULTS = 400
_EXPANSION = 20
_EXPANSION_FLOOR = 20_000
_PLAIN = "plain"
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "<<"
_STANDARD = "tag:yaml.org,2002:"


class YamlFault(Exception):
    """The file is no YAML or not one that is read; carries the fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.render())


class _Composer(yaml.CSafeLoader):
    """The C parser with a resolver that only tells a plain scalar from a quoted one, and counts.

    The parser calls itself for every level, on the stack of C: without the count a file of brackets ends the process.
    """

    nodes = 0
    depth = 0

    def resolve(self, kind: type[Node], value: str | None, implicit: tuple[bool, bool] | bool) -> str:
        self.nodes += 1
        if self.nodes > MOST_VALUES:
            raise yaml.YAMLError(f"more than {MOST_VALUES} values in one file; split it and use include")
        if kind is ScalarNode:
            return _PLAIN if isinstance(implicit, tuple) and implicit[0] else _TEXT
        return ""

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = parent.start_mark if parent else None
            raise yaml.MarkedYAMLError(problem=f"values are nested more than {DEEPEST} deep", problem_mark=mark)

    def ascend_resolver(self) -> None:
        self.depth -= 1


def read(data: bytes, file: str) -> tuple[list[Value], list[Fault]]:
    """The documents of a file and the faults inside them (duplicate keys …); places name `file`.

    Raises YamlFault where nothing can be read from it at all.
    """
    text = _text(data, file)
    with _no_collection():
        nodes = _nodes(text, file)
        builder = _Builder(file)
        return [builder.value(node) for node in nodes], builder.faults


@contextmanager
def _no_collection() -> Iterator[None]:
    """Reading makes many objects and no garbage: the collector would look through all of them again and again, and
    take two thirds of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _nodes(text: str, file: str) -> list[Node]:
    try:
        nodes, written = _compose(text)
        _refuse_bombs(nodes, written, file)
    except yaml.MarkedYAMLError as error:
        raise YamlFault(_syntax_fault(error, file)) from None
    except yaml.YAMLError as error:
        raise YamlFault(Fault(file, 0, 0, "", f"this is no YAML: {str(error).splitlines()[0]}")) from None
    return nodes


def _text(data: bytes, file: str) -> str:
    if len(data) > LARGEST_FILE:
        wanted = f"a catalogue file has at most {LARGEST_FILE // 2**20} MiB; split it and use include"
        raise YamlFault(Fault(file, 0, 0, "", wanted, f"{len(data) / 2**20:.1f} MiB"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise YamlFault(
            Fault(file, line, column, "", "the file has to be UTF-8", f"byte 0x{data[error.start]:02x}")
        ) from None
    if bad := next((sign for sign in _FORBIDDEN.finditer(text)), None):
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - (text.rfind("\n", 0, bad.start()) + 1) + 1
        shown = f"U+{ord(bad.group()):04X}"
        raise YamlFault(Fault(file, line, column, "", "YAML has no such sign; is this a text file?", shown))
    return text


_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def _compose(text: str) -> tuple[list[Node], int]:
    """The documents, and how many values are written in them."""
    parser = _Composer(text)
    nodes: list[Node] = []
    try:
        while parser.check_node():
            node = parser.get_node()
            if node is not None:
                nodes.append(node)
            if len(nodes) > _MOST_DOCUMENTS:
                raise yaml.YAMLError(f"more than {_MOST_DOCUMENTS} documents in one file")
    finally:
        parser.dispose()
    return nodes, parser.nodes


def _refuse_bombs(nodes: list[Node], written: int, file: str) -> None:
    extents: dict[int, _Extent] = {}
    allowed = max(_EXPANSION_FLOOR, _EXPANSION * written)
    for node in nodes:
        extent = _extent(node, extents, set(), file)
        line = node.start_mark.line + 1
        if extent.values > allowed:
            wanted = f"aliases may expand a file to {_EXPANSION} times its values"
            raise YamlFault(Fault(file, line, 0, "", wanted, f"{extent.values} values"))
        if extent.height > DEEPEST:
            wanted = f"values are nested more than {DEEPEST} deep when aliases are followed"
            raise YamlFault(Fault(file, line, 0, "", wanted))


class _Extent(NamedTuple):
    """What a node stands for with every alias written out."""

    values: int
    height: int


_SINGLE = _Extent(1, 1)


def _extent(node: Node, known: dict[int, _Extent], above: set[int], file: str) -> _Extent:
    """Each node is looked at once, whatever refers to it."""
    key = id(node)
    if (found := known.get(key)) is not None:
        return found
    if key in above:
        mark = node.start_mark
        raise YamlFault(Fault(file, mark.line + 1, mark.column + 1, "", "an anchor cannot contain itself"))
    above.add(key)
    values, height = 1, 0
    for child in _children(node):
        inner = _SINGLE if isinstance(child, ScalarNode) else _extent(child, known, above, file)
        values += inner.values
        height = max(height, inner.height)
    above.discard(key)
    known[key] = _Extent(values, height + 1)
    return known[key]


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for _, value in node.value:
            yield value
    elif not isinstance(node, ScalarNode):
        yield from node.value


def _syntax_fault(error: yaml.MarkedYAMLError, file: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    what = " ".join(part for part in (error.problem, error.context) if part)
    hint = "YAML is indented with blanks, not tabs" if "character that cannot start any token" in what else ""
    return Fault(file, line, column, "", f"this is no YAML: {what}", hint=hint)


class _Builder:
    """Nodes → tree. Aliases share what they stand for, as nothing changes a finished tree in place."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._done: dict[int, Value] = {}
        self.faults: list[Fault] = []

    def value(self, node: Node) -> Value:
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        key = id(node)
        if key not in self._done:
            built = self._row(node) if isinstance(node, SequenceNode) else self._table(node)
            self._done[key] = self._tagged(node, built)
        return self._done[key]

    def _scalar(self, node: ScalarNode) -> Value:
        tag = node.tag
        if tag == _PLAIN:
            return plain(node.value)
        if tag == _TEXT:
            return str(node.value)
        if tag == "!reset":
            return Reset()
        if tag == "!override":
            return Override(plain(node.value))
        if tag.startswith(_STANDARD):
            return self._cast(node, tag.removeprefix(_STANDARD))
        return str(node.value)

    def _cast(self, node: ScalarNode, name: str) -> Scalar:
        value = plain(node.value)
        wanted = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}.get(name)
        if wanted is None or not isinstance(value, wanted) or (isinstance(value, bool) and name != "bool"):
            self._fault(node, f"a value that fits its tag !!{name}", node.value)
            return str(node.value)
        return float(value) if name == "float" and isinstance(value, int) else value

    def _tagged(self, node: Node, built: Table | Row) -> Value:
        if node.tag == "!reset":
            return Reset()
        return Override(built) if node.tag == "!override" else built

    def _row(self, node: SequenceNode) -> Row:
        row = Row(self._mark(node))
        for child in node.value:
            row.add(self.value(child), self._mark(child))
        return row

    def _table(self, node: Node) -> Table:
        table = Table(self._mark(node))
        merged: Node | None = None
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            if key == _MERGE and key_node.tag == _PLAIN:
                if merged is not None:
                    self._fault(key_node, "one merge key a mapping (a list of aliases merges several)")
                merged = value_node
            elif key in table.marks:
                self._fault(key_node, f"each key once; it is on line {table.marks[key].line} already", key)
            else:
                table.put(key, self.value(value_node), self._mark(key_node))
        if merged is not None:
            self._merge(table, merged)
        return table

    def _merge(self, table: Table, node: Node) -> None:
        """Keys of the merged mappings, the first one first, where the table has none of its own."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            value = self.value(source)
            if not isinstance(value, Table):
                self._fault(source, "a mapping, or a list of mappings, to merge", getattr(source, "value", ""))
                continue
            for key, inner, mark in value.places():
                if key not in table.marks:
                    table.put(key, inner, mark)

    def _key(self, node: Node) -> str | None:
        if isinstance(node, ScalarNode):
            value = self._scalar(node)
            if isinstance(value, str):
                return value
            self._fault(node, "keys are texts; put it in quotes", node.value)
            return None
        self._fault(node, "keys are texts")
        return None

    def _mark(self, node: Node) -> Mark:
        start = node.start_mark
        return Mark(self._file, start.line + 1, start.column + 1)

    def _fault(self, node: Node, expected: str, value: object = None) -> None:
        if len(self.faults) >= _MOST_FAULTS:
            return
        mark = self._mark(node)
        shown = None if value is None else show(value)
        self.faults.append(Fault(mark.file, mark.line, mark.column, "", expected, shown))
