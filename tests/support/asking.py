"""One request of a test and its answer, with nothing but the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[Any]:
        """Of a stream of server-sent events: each one's JSON; the end's mark as text."""
        data = [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: ")]
        return [one if one == "[DONE]" else json.loads(one) for one in data]


def ask(url: str, body: object = None, *, method: str | None = None, timeout: float = 60) -> Told:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Told(
                answer.status, {key.lower(): value for key, value in answer.headers.items()}, answer.read().decode()
            )
    except urllib.error.HTTPError as error:
        with error:
            return Told(error.code, {key.lower(): value for key, value in error.headers.items()}, error.read().decode())
