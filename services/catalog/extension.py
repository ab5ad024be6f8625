"""`x-hub` and the labels `aihub.KEY` of one service → one validated extension, every fault of it with its line.

Owns putting the two together (`x-hub` wins, key by key) and saying pydantic's errors in the words of the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from services.catalog.faults import Findings
from services.catalog.keys import EXTENSION
from services.catalog.schema import LabelText, XHub
from services.catalog.tree import NOWHERE, Mark, Moment, Override, Path, Reset, Row, Table, Value, where

KEY = EXTENSION
LABEL = "aihub."
_WORDING = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
}


def extension(raw: Table, labels: Mapping[str, str | None], path: Path, findings: Findings) -> XHub | None:
    """The extension with its defaults; None after a fault."""
    table = _together(raw, labels, path, findings)
    if table is None:
        return None
    if not table:
        return _PLAIN
    try:
        return XHub.model_validate(_plain(table))
    except ValidationError as error:
        told: set[Path] = set()
        for detail in error.errors(include_url=False):
            _tell(detail, table, path, told, findings)
        return None
    except RecursionError:
        findings.found(raw, (KEY,), "fewer levels", under=path)
        return None


_PLAIN = XHub()


def _together(raw: Table, labels: Mapping[str, str | None], path: Path, findings: Findings) -> Table | None:
    own = raw.get(KEY)
    if own is not None and not isinstance(own, Table):
        findings.found(raw, (KEY,), "a mapping", own, under=path)
        return None
    written = [(name, text) for name, text in labels.items() if name.startswith(LABEL)]
    if not written:
        return Table() if own is None else own
    said = Table(where(raw, ("labels",)))
    for name, text in written:
        mark = where(raw, ("labels", name))
        if not _place(said, name.removeprefix(LABEL).split("."), LabelText(text or ""), mark):
            findings.at(mark, (*path, "labels", name), "a key that is not also the beginning of another", name)
            return None
    return said if own is None else _over(said, own)


def _place(table: Table, steps: list[str], value: Value, mark: Mark) -> bool:
    for step in steps[:-1]:
        inner = table.get(step)
        if inner is None:
            inner = Table(mark)
            table.put(step, inner, mark)
        if not isinstance(inner, Table):
            return False
        table = inner
    if steps[-1] in table:
        return False
    table.put(steps[-1], value, mark)
    return True


def _over(base: Table, over: Table) -> Table:
    table = base.duplicate()
    for key, value, mark in over.places():
        inner = table.get(key)
        if isinstance(inner, Table) and isinstance(value, Table):
            value = _over(inner, value)
        table.put(key, value, mark)
    return table


def _plain(value: Value) -> Any:
    """As pydantic takes it: dates and tags as what they are not."""
    if isinstance(value, Table):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Row):
        return [_plain(inner) for inner in value]
    if isinstance(value, Override):
        return _plain(value.value)
    return None if isinstance(value, Reset) else value


def _tell(detail: ErrorDetails, table: Table, path: Path, told: set[Path], findings: Findings) -> None:
    steps = tuple(_known_steps(detail["loc"], table, missing=detail["type"] == "missing"))
    if steps in told:
        return
    told.add(steps)
    field = (*path, KEY, *steps)
    mark = where(table, steps)
    if mark is NOWHERE or not mark.file:
        mark = table.mark
    if detail["type"] == "extra_forbidden":
        known = _keys_at(steps[:-1])
        hint = findings.near(str(steps[-1]), known)
        findings.at(mark, field, f"one of {', '.join(known)}", steps[-1], hint)
        return
    value = detail.get("input")
    if detail["type"] == "missing":
        findings.at(mark, field, "this key is needed")
        return
    findings.at(mark, field, _wording(detail), value, "put it in quotes" if isinstance(value, Moment) else "")


def _known_steps(loc: tuple[int | str, ...], value: Value, *, missing: bool) -> Iterator[str | int]:
    """The steps that the file has; what follows are pydantic's own words for the branch it tried."""
    for index, step in enumerate(loc):
        if not _has(value, step):
            if missing and index == len(loc) - 1:
                yield step
            return
        value = value[step]  # type: ignore[index]
        yield step


def _has(value: Value, step: int | str) -> bool:
    if isinstance(value, Table):
        return step in value
    return isinstance(value, Row) and isinstance(step, int) and step < len(value)


def _keys_at(steps: Path) -> list[str]:
    model: type[BaseModel] = XHub
    for step in steps:
        if isinstance(step, str) and step in model.model_fields:
            model = model_of(model.model_fields[step].annotation) or model
    return list(model.model_fields)


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model | None`, `dict[str, Model]` and their like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := model_of(part))), None)


def _wording(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "enum" | "literal_error":
            return f"one of {context['expected']}".replace("'", "").replace(" or ", ", ")
        case "greater_than_equal":
            return f"a number from {context['ge']} up"
        case "less_than_equal":
            return f"a number up to {context['le']}"
        case "string_too_long":
            return f"at most {context['max_length']} signs"
        case "too_long":
            return f"at most {context['max_length']} entries"
        case "string_pattern_mismatch":
            return f"a text of the form {context['pattern']}"
        case other:
            return _WORDING.get(other, detail["msg"].removeprefix("Input should be ").removeprefix("Value error, "))
