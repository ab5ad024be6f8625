"""`$VAR`, `${VAR}`, `${VAR:-default}` and their kin, filled in as compose fills them in.

Owns the grammar (defaults nest; `$$` is a dollar, and so is a `$` before anything that begins no name) and the walk
over a tree. It decides nothing about where variables come from. Keys are never filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from services.catalog.faults import Findings
from services.catalog.tree import Override, Path, Row, Table, Value

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATORS = (":-", "-", ":?", "?", ":+", "+")
_DEEPEST = 20
LONGEST = 2**20
_LONGEST_TREE = 2**24

Missing = Callable[[str], None]
"""Told the name of each variable that is not set and has no default."""


class InterpolationFault(ValueError):
    """The message says what is wrong with the text or which required variable is missing."""


def substitute(text: str, variables: Mapping[str, str], missing: Missing | None = None, depth: int = 0) -> str:
    """Fill in every variable of a text; one that is not set is empty, and told to `missing`.

    Raises InterpolationFault.
    """
    if "$" not in text:
        return text
    if depth > _DEEPEST:
        raise InterpolationFault(f"defaults nested at most {_DEEPEST} deep")
    out: list[str] = []
    at = length = 0
    while (dollar := text.find("$", at)) >= 0:
        out.append(text[at:dollar])
        value, at = _variable(text, dollar, variables, missing, depth)
        out.append(value)
        length += len(value)
        if length > LONGEST:
            raise InterpolationFault(f"variables that come to at most {LONGEST} signs")
    out.append(text[at:])
    return "".join(out)


def _variable(
    text: str, dollar: int, variables: Mapping[str, str], missing: Missing | None, depth: int
) -> tuple[str, int]:
    """The value of what begins at `dollar`, and where the text goes on."""
    follows = text[dollar + 1 : dollar + 2]
    if follows == "$":
        return "$", dollar + 2
    if follows != "{":
        match = _NAME.match(text, dollar + 1)
        if match is None:
            return "$", dollar + 1
        return _plain(match.group(), variables, missing), match.end()
    end = _closing(text, dollar + 1)
    return _braced(text[dollar + 2 : end], variables, missing, depth), end + 1


def _closing(text: str, opening: int) -> int:
    depth = 0
    at = opening
    while at < len(text):
        sign = text[at]
        if sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise InterpolationFault("a closing } after ${; write $$ for a dollar sign")


def _braced(inside: str, variables: Mapping[str, str], missing: Missing | None, depth: int) -> str:
    match = _NAME.match(inside)
    if match is None:
        raise InterpolationFault("a variable's name after ${; write $$ for a dollar sign")
    name, rest = match.group(), inside[match.end() :]
    if not rest:
        return _plain(name, variables, missing)
    operator = next((sign for sign in _OPERATORS if rest.startswith(sign)), None)
    if operator is None:
        raise InterpolationFault(f"one of {', '.join(_OPERATORS)} or }} after ${{{name}")
    word = rest[len(operator) :]
    value = variables.get(name)
    given = bool(value) if operator[0] == ":" else value is not None
    match operator[-1]:
        case "-":
            return value if given and value is not None else substitute(word, variables, missing, depth + 1)
        case "+":
            return substitute(word, variables, missing, depth + 1) if given else ""
        case _:
            if given and value is not None:
                return value
            why = substitute(word, variables, missing, depth + 1)
            raise InterpolationFault(f"the variable {name} to be set" + (f": {why}" if why else ""))


def _plain(name: str, variables: Mapping[str, str], missing: Missing | None) -> str:
    value = variables.get(name)
    if value is None:
        if missing is not None:
            missing(name)
        return ""
    return value


class Interpolation:
    """Fills in a whole tree, sharing what has no variable in it. Faults and unset variables go to `findings`."""

    def __init__(self, variables: Mapping[str, str], findings: Findings) -> None:
        self._variables = variables
        self._findings = findings
        self._length = 0

    def tree(self, value: Value, path: Path = ()) -> Value:
        if isinstance(value, str):
            return self._text(value, path) if "$" in value else value
        if isinstance(value, Table):
            return self._table(value, path)
        if isinstance(value, Row):
            return self._row(value, path)
        if isinstance(value, Override):
            return Override(self.tree(value.value, path))
        return value

    def _text(self, text: str, path: Path) -> str:
        service = str(path[1]) if len(path) > 1 and path[0] == "services" else ""

        def missing(name: str) -> None:
            self._findings.note(f"variable {name} is not set and read as empty", service)

        filled = substitute(text, self._variables, missing)
        self._length += len(filled)
        if self._length > _LONGEST_TREE:
            raise InterpolationFault(f"a file whose variables come to at most {_LONGEST_TREE} signs")
        return filled

    def _table(self, table: Table, path: Path) -> Table:
        changed: Table | None = None
        for key, value in table.items():
            if value.__class__ is int or value is None:
                continue
            try:
                new = self.tree(value, (*path, key))
            except InterpolationFault as fault:
                mark = table.marks.get(key, table.mark)
                self._findings.unread(mark, (*path, key), str(fault), value)
                continue
            if new is not value:
                changed = changed or table.duplicate()
                changed[key] = new
        return changed if changed is not None else table

    def _row(self, row: Row, path: Path) -> Row:
        changed: Row | None = None
        for index, value in enumerate(row):
            try:
                new = self.tree(value, (*path, index))
            except InterpolationFault as fault:
                self._findings.unread(row.marks[index], (*path, index), str(fault), value)
                continue
            if new is not value:
                if changed is None:
                    changed = Row(row.mark)
                    changed.extend(row)
                    changed.marks = row.marks
                changed[index] = new
        return changed if changed is not None else row
