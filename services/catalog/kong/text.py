"""Document ↔ text. Owns the form of the file alone: block style for what people look for, one line for the rest.

Every text is quoted: what YAML takes for a number differs between readers, and a key such as `1e5` must stay a key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

_WIDTH = 110
_HEADER = """\
# Kong's declarative configuration, made from the catalogue by scripts/generate: do not edit.
# Names in ${} are filled in at deploy, which also knows the keys; Kong refuses the file as it stands here.
"""


def rendered(document: Mapping[str, object], *, header: str = _HEADER) -> str:
    """YAML; the same text for the same document."""
    return header + "\n".join(_table(document, 0)) + "\n"


def _table(table: Mapping[str, object], depth: int) -> Iterator[str]:
    blanks = " " * depth
    for key, value in table.items():
        line = f"{blanks}{key}: {_flow(value)}"
        if not isinstance(value, Mapping | list) or not value or (len(line) <= _WIDTH and depth):
            yield line
        elif isinstance(value, Mapping):
            yield f"{blanks}{key}:"
            yield from _table(value, depth + 2)
        else:
            yield f"{blanks}{key}:"
            yield from _row(value, depth + 2)


def _row(row: Sequence[object], depth: int) -> Iterator[str]:
    blanks = " " * depth
    for item in row:
        line = f"{blanks}- {_flow(item)}"
        if not isinstance(item, Mapping) or len(line) <= _WIDTH:
            yield line
        else:
            lines = list(_table(item, depth + 2))
            yield f"{blanks}- {lines[0].lstrip()}"
            yield from lines[1:]


def _flow(value: object) -> str:
    """One line, in the part of YAML that is JSON but for unquoted keys."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(_flow(inner) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=True)
