"""What a client of somebody else's has raised → a problem. The one place that knows how each of them wraps an answer.

chromadb, qdrant-client and ollama all speak through httpx, and all turn its answer into an exception of their own. The
answer is found again along the chain of causes; the gate's refusal, with its Retry-After, is passed on as such.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.web_service.problems import Problem

STATE_HEADER = "x-hub-state"
"""Only the hub says this: the request has not reached the service."""
_LONGEST = 300
_CLIENTS = frozenset({"httpx", "httpcore", "ollama"})
_CHROMA = "chromadb.errors"
"""Its client has read the answer and thrown it away; these have its status as `code()`."""
_PULL = "/api/ollama/api/pull"
_MODEL = re.compile(r"model ['\"]([^'\"]+)['\"]")


class UpstreamFailed(Exception):
    """A client of somebody else's has raised; that is the cause."""

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self.service = service


def problem_of(error: BaseException, service: str) -> Problem:
    """Total: what nobody foresaw is a 502 that says what it was."""
    for one in chain(error):
        answer = getattr(one, "response", None) or one
        status, headers = getattr(answer, "status_code", None), getattr(answer, "headers", None)
        if isinstance(status, int) and headers is not None:
            return answered(status, headers, _body(answer), service)
        if type(one).__module__ == _CHROMA and callable(code := getattr(one, "code", None)):
            return answered(code(), {}, json.dumps({"error": type(one).__name__, "message": str(one)}), service)
    if any(isinstance(one, TimeoutError) or "Timeout" in type(one).__name__ for one in chain(error)):
        remedy = "try again; GET /api/health tells how it stands"
        return Problem(504, "timed-out", f"{service} has not answered in time", remedy=remedy, service=service)
    kinds = {type(one).__module__.partition(".")[0] for one in chain(error)}
    if any(isinstance(one, OSError) for one in chain(error)) or kinds & {"httpx", "httpcore"}:
        detail = f"{service} cannot be reached: {said(error)}"
        return Problem(502, "unreachable", detail, remedy=f"aihub explain {service} tells why", service=service)
    return Problem(502, "upstream", f"{service}: {said(error)}", service=service)


def is_of_others(error: BaseException) -> bool:
    """Whether it came from somebody else's answer or line, and not from a fault of our own."""
    kinds = {type(one).__module__.partition(".")[0] for one in chain(error)}
    return bool(kinds & _CLIENTS) or any(isinstance(one, OSError | TimeoutError) for one in chain(error))


def answered(status: int, headers: Mapping[str, str], body: str, service: str) -> Problem:
    """Of an answer that is no success."""
    message, remedy = _message(body) or f"status {status}", None
    if STATE_HEADER in headers:
        return Problem(status, "not-awake", message, retry_after=_seconds(headers), service=service)
    if status == 404 and service == "ollama":
        found = _MODEL.search(message)
        model = found[1] if found else "MODEL"
        # Whoever calls by the gateway need not have the program, nor know at which port it answers.
        remedy = f"ollama pull {model}, or POST {_PULL} with {json.dumps({'model': model})}"
        return Problem(404, "no-model", message, "model", remedy=remedy, service=service)
    if status in (400, 409, 413, 422, 429) or (status == 404 and _is_of_store(body)):
        return Problem(status, "refused", f"{service}: {message}", retry_after=_seconds(headers), service=service)
    if status == 503:
        return Problem(503, "upstream", f"{service}: {message}", retry_after=_seconds(headers), service=service)
    return Problem(502, "upstream", f"{service} answered {status}: {message}", service=service)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it came from, also where `raise … from None` hides it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        source = getattr(one, "source", None)
        waiting += [source if isinstance(source, BaseException) else None, one.__cause__, one.__context__]


def said(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _body(answer: Any) -> str:
    content = getattr(answer, "content", b"")
    return content.decode(errors="replace") if isinstance(content, bytes) else str(content)


def _is_of_store(body: str) -> bool:
    """Chroma or Qdrant says that it has no such thing, and not a web server that it has no such path."""
    try:
        document = json.loads(body)
    except ValueError:
        return False
    if not isinstance(document, Mapping):
        return False
    of_chroma = isinstance(document.get("error"), str) and isinstance(document.get("message"), str)
    return of_chroma or (isinstance(document.get("status"), Mapping) and "error" in document["status"])


def _message(body: str) -> str:
    """The words for people in the forms that the hub, Ollama, Chroma and Qdrant have for them."""
    try:
        document = json.loads(body)
    except ValueError:
        return said(Exception(body.strip())) if body.strip() else ""
    if not isinstance(document, Mapping):
        return ""
    error, status = document.get("error"), document.get("status")
    for found in (
        error.get("message") if isinstance(error, Mapping) else None,
        document.get("message"),
        error if isinstance(error, str) else None,
        status.get("error") if isinstance(status, Mapping) else None,
        document.get("detail"),
    ):
        if isinstance(found, str) and found:
            return said(Exception(found))
    return ""


def _seconds(headers: Mapping[str, str]) -> int | None:
    try:
        return max(1, math.ceil(float(headers.get("retry-after", ""))))
    except (ValueError, OverflowError):
        return None
