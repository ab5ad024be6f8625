"""Request bodies: JSON → a pydantic model, or one problem that names field, value and remedy.

What a field has to be is its description there: it is the remedy too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError

from services.web_service.problems import Problem, Refused

_T = TypeVar("_T", bound=BaseModel)
_SCALARS = ("str", "bool", "int", "float")
"""What pydantic adds to a place where several kinds would do."""


def read(model: type[_T], body: bytes) -> _T:
    """Raises Refused."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refused(None, None, f"the body is no JSON: {error}", "send application/json") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise Refused(_problem(model, error)) from None


def refused(field: str | None, value: object, detail: str, remedy: str) -> Refused:
    return Refused(Problem(400, "bad-request", f"{field}: {detail}" if field else detail, field, value, remedy))


def _problem(model: type[BaseModel], error: ValidationError) -> Problem:
    """Of the first fault; how many more places have one stands in the detail."""
    faults = error.errors(include_url=False, include_context=False)
    first = faults[0]
    if not first["loc"]:
        return Problem(400, "bad-request", "the body is no object", None, first["input"], "send a JSON object")
    steps = _steps(first["loc"])
    place = ".".join(str(step) for step in steps)
    more = len({_steps(fault["loc"]) for fault in faults}) - 1
    detail = f"{place or 'the body'}: {first['msg']}" + (f", and {more} more with a fault" if more else "")
    wanted = _description(model, steps)
    remedy = f"{place} has to be {wanted}" if wanted else None
    if first["type"] == "extra_forbidden":
        remedy = "leave it out: there is no such field"
    value = None if first["type"] == "missing" else first["input"]
    return Problem(400, "bad-request", detail, place or None, value, remedy)


def _steps(place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return tuple(step for step in place if step not in _SCALARS)


def _description(model: type[BaseModel], steps: tuple[int | str, ...]) -> str | None:
    """Of the innermost field on the way that has one."""
    found = None
    for step in steps:
        known = model.model_fields.get(step) if isinstance(step, str) else None
        if known is None:
            continue
        parts = list(_parts(known.annotation))
        noted = (getattr(one, "description", None) for part in parts for one in getattr(part, "__metadata__", ()))
        found = known.description or next((text for text in noted if text), found)
        model = next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), model)
    return found


def _parts(annotation: object) -> Iterator[object]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)
