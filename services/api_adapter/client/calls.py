"""Every call of the client as a value: the request to send and how its answer is read. No I/O, no clock.

Both clients, the one that waits and the one that awaits, perform these; whatever can be wrong about a request or an
answer is found out here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from services.api_adapter.client.errors import BadReply, Refused, kind_of
from services.api_adapter.client.values import ChainResult, Completion, Hit, Model

T = TypeVar("T")
Json = dict[str, Any]

_ADAPTER, _CHAINS = "/api/api-adapter", "/api/langchain"
_FROM_HUB = "x-hub-state"
"""Only the gate says this, of requests that it has not passed on."""
_LONGEST = 300
DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    method: str
    path: str
    """From the hub's address on, escaped."""
    read: Callable[[Any], T] = field(repr=False)
    """The answer's JSON → the value; of a stream, each event's. Raises KeyError, TypeError, ValueError, IndexError."""
    json: Json | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


# -- calls -------------------------------------------------------------------------------------------------------------


def chat(prompt: str | Sequence[Json], model: str, service: str, system: str | None, options: Json) -> Call[Completion]:
    def read(document: Any) -> Completion:
        choice = document["choices"][0]
        usage = {key: value for key, value in (document.get("usage") or {}).items() if isinstance(value, int)}
        text = choice["message"].get("content") or ""
        return Completion(text, document.get("model", model), choice.get("finish_reason"), usage, document)

    body = {"model": model, "messages": _messages(prompt, system), **options}
    return Call("POST", f"{_service(service)}/v1/chat/completions", read, body)


def chat_stream(
    prompt: str | Sequence[Json], model: str, service: str, system: str | None, options: Json
) -> Call[str | None]:
    def read(document: Any) -> str | None:
        if document.get("error"):
            raise ValueError(str(document["error"]))
        choices = document.get("choices") or [{}]
        return choices[0].get("delta", {}).get("content") or None

    body = {"model": model, "messages": _messages(prompt, system), **options, "stream": True}
    return Call("POST", f"{_service(service)}/v1/chat/completions", read, body)


def embed(texts: str | Sequence[str], model: str, service: str) -> Call[list[list[float]]]:
    def read(document: Any) -> list[list[float]]:
        found = sorted(document["data"], key=lambda entry: int(entry["index"]))
        return [list(map(float, entry["embedding"])) for entry in found]

    body = {"model": model, "input": [texts] if isinstance(texts, str) else list(texts)}
    return Call("POST", f"{_service(service)}/v1/embeddings", read, body)


def models() -> Call[list[Model]]:
    def read(document: Any) -> list[Model]:
        return [Model(one["id"], one["service"], one["path"], one["state"]) for one in document["data"]]

    return Call("GET", f"{_ADAPTER}/models", read)


def health(service: str | None) -> Call[Json]:
    path = "/api/health" if service is None else f"/api/health/{_named(service, 'service')}"
    return Call("GET", path, _object)


def chain(prompt: str, chain_type: str, model: str | None, more: Json) -> Call[ChainResult]:
    def read(document: Any) -> ChainResult:
        details = {key: value for key, value in document.items() if key not in ("output", "chain")}
        return ChainResult(document["output"], document.get("chain", chain_type), details)

    return Call("POST", f"{_CHAINS}/chains/{_named(chain_type, 'chain_type')}", read, _chained(prompt, model, more))


def chain_stream(prompt: str, chain_type: str, model: str | None, more: Json) -> Call[str | None]:
    def read(document: Any) -> str | None:
        if "detail" in document and "status" in document:
            raise refusal(Answer(int(document["status"]), {}, json.dumps(document).encode()))
        return document.get("text") or None

    path = f"{_CHAINS}/chains/{_named(chain_type, 'chain_type')}/stream"
    return Call("POST", path, read, _chained(prompt, model, more))


def search(query: str | Sequence[float], collection: str, k: int, more: Json) -> Call[list[Hit]]:
    def read(document: Any) -> list[Hit]:
        return [
            Hit(one["id"], float(one["score"]), one["text"], one.get("metadata") or {}) for one in document["results"]
        ]

    asked = {"query": query} if isinstance(query, str) else {"vector": [float(one) for one in query]}
    return Call("POST", f"{_ADAPTER}/vectors/search", read, {"collection": collection, **asked, "k": k, **_given(more)})


def upsert(items: Sequence[str | Json], collection: str, more: Json) -> Call[list[str]]:
    def read(document: Any) -> list[str]:
        return [str(one) for one in document["ids"]]

    sent = [{"text": item} if isinstance(item, str) else dict(item) for item in items]
    return Call("POST", f"{_ADAPTER}/vectors/upsert", read, {"collection": collection, "items": sent, **_given(more)})


def collections(store: str | None) -> Call[list[Json]]:
    def read(document: Any) -> list[Json]:
        return [_object(one) for one in document["collections"]]

    return Call("GET", f"{_ADAPTER}/vectors/collections" + (f"?store={quote(store, safe='')}" if store else ""), read)


# -- answers -----------------------------------------------------------------------------------------------------------


def value(call: Call[T], answer: Answer) -> T:
    """What the call gives. Raises Refused, BadReply."""
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    return _read(call, answer.body)


def event(call: Call[T], data: str) -> T:
    """Of one event of a stream. Raises Refused, BadReply."""
    return _read(call, data.encode())


def may_repeat(answer: Answer) -> float | None:
    """Seconds after which the same request may be sent again; None: it may not. Only what the hub has kept from the
    service may, so that nothing is done twice."""
    if answer.status != 503 or _FROM_HUB not in answer.headers:
        return None
    return _seconds(answer)


def refusal(answer: Answer) -> Refused:
    """Of any answer that is no success."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = {}
    found = document if isinstance(document, dict) else {}
    inner = found.get("error")
    message = next(
        (
            str(text)
            for text in (
                found.get("detail"),
                inner.get("message") if isinstance(inner, dict) else inner,
                found.get("message"),
            )
            if text
        ),
        _shortened(answer.body) or "no reason was given",
    )
    kind = kind_of(answer.status, from_hub=_FROM_HUB in answer.headers)
    return kind(
        f"{answer.status}: {message}",
        answer.status,
        field=found.get("field"),
        value=found.get("value"),
        remedy=found.get("remedy"),
        retry_after=_seconds(answer),
    )


def _read(call: Call[T], body: bytes) -> T:
    try:
        return call.read(json.loads(body))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        told = f"{type(error).__name__}: {error}"
        raise BadReply(f"{call.method} {call.path}: an answer of another form ({told}): {_shortened(body)}") from error


def _seconds(answer: Answer) -> float | None:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "")))
    except ValueError:
        return None


def _shortened(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


# -- requests ----------------------------------------------------------------------------------------------------------


def _messages(prompt: str | Sequence[Json], system: str | None) -> list[Json]:
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(one) for one in prompt]
    return [{"role": "system", "content": system}, *asked] if system else asked


def _chained(prompt: str, model: str | None, more: Json) -> Json:
    return {"prompt": prompt, **_given({"model": model}), **_given(more)}


def _given(more: Json) -> Json:
    return {key: value for key, value in more.items() if value is not None}


def _service(name: str) -> str:
    return f"/api/{_named(name, 'service')}"


def _named(text: str, field: str) -> str:
    """As one step of a path. Raises ValueError where it is none."""
    if not text or text in (".", "..") or "/" in text:
        raise ValueError(f"{field} has to be a name, not {text!r}")
    return quote(text, safe="")


def _object(document: Any) -> Json:
    if not isinstance(document, dict):
        raise TypeError("an object was expected")
    return document
