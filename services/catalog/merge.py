"""A later file over an earlier one, as compose merges them: `-f a.yml -f b.yml` and `extends`.

Mappings merge key by key, lists are appended and then rid of what is said twice, scalars are replaced, and the fields
that may be written as list or mapping are brought into one form first. Owns those rules and nothing of what fields
mean. A value is never changed in place: both sides may be shared with other services.
"""

from __future__ import annotations

from services.catalog.faults import Findings
from services.catalog.scalars import text_of
from services.catalog.tree import NOWHERE, Mark, Moment, Override, Path, Reset, Row, Table, Value, kind

_PAIRS = frozenset({"environment", "labels", "annotations", "sysctls"})
_REPLACED = frozenset({"command", "entrypoint"})
_WORDS = frozenset({"env_file", "dns", "dns_search", "tmpfs", "label_file"})
_BY_NAME = frozenset({"depends_on", "networks", "models"})
_UNIQUE = frozenset(
    {"cap_add", "cap_drop", "dns", "dns_opt", "dns_search", "env_file", "expose", "links", "profiles", "tmpfs", "ports"}
)


class Merger:
    """Merges trees; what cannot be merged is a fault in `findings`, and the earlier value stays."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def merge(self, base: Value, over: Value, path: Path = (), mark: Mark = NOWHERE) -> Value:
        """`over`, written at `mark`, on top of `base`."""
        if isinstance(over, Override):
            return over.value
        if isinstance(over, Reset):
            return over
        if isinstance(base, Override):
            return Override(self.merge(base.value, over, path, mark))
        if isinstance(base, Reset):
            return over
        if (joined := self._special(base, over, path)) is not None:
            return joined
        if isinstance(base, Table):
            if isinstance(over, Table):
                return self._tables(base, over, path)
            return self._refused(base, over, path, mark)
        if isinstance(base, Row):
            if isinstance(over, Row):
                return unique(_appended(base, over), path)
            return self._refused(base, over, path, mark)
        return over

    def _special(self, base: Value, over: Value, path: Path) -> Value:
        """Fields of a service with rules of their own; None for all others."""
        if len(path) < 3 or path[0] != "services":
            return None
        inside, field = path[2:], str(path[-1])
        if (len(inside) == 1 and field in _REPLACED) or inside == ("healthcheck", "test"):
            return over
        if (len(inside) == 1 and field in _PAIRS) or inside == ("deploy", "labels"):
            return self._tables(as_pairs(base, path, self._findings), as_pairs(over, path, self._findings), path)
        if len(inside) == 1 and field in _WORDS:
            return unique(_appended(as_row(base), as_row(over)), path)
        if len(inside) == 1 and field in _BY_NAME:
            return self._tables(as_names(base, path), as_names(over, path), path)
        return None

    def _tables(self, base: Table, over: Table, path: Path) -> Table:
        table = base.duplicate()
        for key, value, mark in over.places():
            if key in table:
                value = self.merge(table[key], value, (*path, key), mark)
            table.put(key, value, mark)
        if len(path) == 2 and path[0] == "services" and base.mark.file:
            table.mark = base.mark
        return table

    def _refused(self, base: Value, over: Value, path: Path, mark: Mark) -> Value:
        self._findings.at(mark, path, f"{kind(base)}, as the earlier file has it", over)
        return base


def settled(value: Value, path: Path = ()) -> Value:
    """A tree whose `!reset` and `!override` tags have done their work, with nothing said twice in a list."""
    if isinstance(value, Override):
        return settled(value.value, path)
    if isinstance(value, Table):
        return _settled_table(value, path)
    if isinstance(value, Row):
        return _settled_row(value, path)
    return value


def _settled_table(table: Table, path: Path) -> Table:
    changed: Table | None = None
    for key, value in table.items():
        new = value
        if isinstance(value, Table | Row | Override):
            new = settled(value, (*path, key))
        if new is not value or isinstance(value, Reset):
            changed = table.duplicate() if changed is None else changed
            if isinstance(new, Reset):
                changed.drop(key)
            else:
                changed[key] = new
    return table if changed is None else changed


def _settled_row(row: Row, path: Path) -> Row:
    if not any(isinstance(item, Table | Row | Override | Reset) for item in row):
        return unique(row, path)
    new = Row(row.mark)
    for index, item, mark in row.places():
        if not isinstance(item, Reset):
            new.add(settled(item, (*path, index)), mark)
    same = len(new) == len(row) and all(one is other for one, other in zip(new, row, strict=True))
    return unique(row if same else new, path)


def unique(row: Row, path: Path) -> Row:
    """Without what is said twice, where the field is a set; first place and last wording stay, as in compose."""
    if len(row) < 2 or len(path) != 3 or path[0] != "services":
        return row
    if path[2] == "volumes":
        names = [_target(item) for item in row]
    elif path[2] in _UNIQUE:
        names = [text_of(item) if isinstance(item, str | int | float) else None for item in row]
    else:
        return row
    if len(set(names)) == len(names):
        return row
    new, seen = Row(row.mark), dict[str, int]()
    for name, (_, item, mark) in zip(names, row.places(), strict=True):
        if name is not None and name in seen:
            new[seen[name]], new.marks[seen[name]] = item, mark
            continue
        if name is not None:
            seen[name] = len(new)
        new.add(item, mark)
    return new


def _target(item: Value) -> str | None:
    """What makes a volume of a service the same as another: where it is mounted."""
    if isinstance(item, Table):
        target = item.get("target")
        return target if isinstance(target, str) else None
    if not isinstance(item, str):
        return None
    parts = item.split(":")
    return parts[0] if len(parts) == 1 else parts[1]


def as_pairs(value: Value, path: Path, findings: Findings) -> Table:
    """`[A=1, B]` → `{A: "1", B: null}`; a mapping stays. Anything else is a fault, and empty."""
    if isinstance(value, Override):
        return as_pairs(value.value, path, findings)
    if isinstance(value, Table):
        return value
    table = Table(value.mark if isinstance(value, Row) else NOWHERE)
    if isinstance(value, Row):
        for index, item, mark in value.places():
            if isinstance(item, str):
                name, equals, text = item.partition("=")
                table.put(name, text if equals else None, mark)
            else:
                findings.at(mark, (*path, index), "a text of the form NAME=value or NAME", item)
    return table


def as_row(value: Value) -> Row:
    """One word or a list of them → a list."""
    if isinstance(value, Override):
        return as_row(value.value)
    if isinstance(value, Row):
        return value
    row = Row()
    if value is not None and not isinstance(value, Table | Moment | Reset):
        row.add(value, NOWHERE)
    return row


def as_names(value: Value, path: Path) -> Table:
    """A list of names → a mapping from each to what compose takes for it by default."""
    if isinstance(value, Table):
        return value
    table = Table(value.mark if isinstance(value, Row) else NOWHERE)
    for _, item, mark in as_row(value).places():
        if isinstance(item, str):
            table.put(item, _default(path, mark), mark)
    return table


def _default(path: Path, mark: Mark) -> Value:
    if path[-1] != "depends_on":
        return None
    entry = Table(mark)
    entry.put("condition", "service_started", mark)
    entry.put("required", True, mark)
    return entry


def _appended(base: Row, over: Row) -> Row:
    row = Row(base.mark)
    for source in (base, over):
        for _, item, mark in source.places():
            row.add(item, mark)
    return row
