"""What is told when something cannot be done: RFC 7807 problems, with the field, the value and what mends it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/problem+json"
_LONGEST_VALUE = 120


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    code: str
    """One word for programs, the end of `type`."""
    detail: str
    field: str | None = None
    """Where in the body or the query, as `items.3.text`."""
    value: object = None
    remedy: str | None = None
    retry_after: int | None = None
    """Seconds; also the header of that name."""
    service: str | None = None
    """Whose answer this passes on."""

    def document(self) -> dict[str, Any]:
        found = {
            "type": f"urn:aihub:problem:{self.code}",
            "title": self.code.replace("-", " "),
            "status": self.status,
            "detail": self.detail,
            "field": self.field,
            "value": None if self.value is None else shown(self.value),
            "remedy": self.remedy,
            "retry_after_s": self.retry_after,
            "service": self.service,
        }
        return {key: value for key, value in found.items() if value is not None}

    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class Refused(Exception):
    """Carries the problem to the edge, where it becomes an answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
