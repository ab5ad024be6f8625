"""Lists of models: from each service's own reply in OpenAI's form to one list for all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ASLEEP = "asleep"
READY = "ready"
UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Speaker:
    """A service that speaks OpenAI's API."""

    service: str
    base: str
    """Where it answers inside, up to and with `/v1`."""
    named: tuple[str, ...] = ()
    """Models that the catalogue names (`x-hub.models`), known while it sleeps too."""

    @property
    def path(self) -> str:
        """Where clients of the gateway reach it."""
        return f"/api/{self.service}/v1"


@dataclass(frozen=True, slots=True)
class Listed:
    """What one service has told, or the hub about it."""

    speaker: Speaker
    state: str
    """`ready`, `asleep` and the like, `unreachable`."""
    models: tuple[Mapping[str, Any], ...] | None = None
    """None: nobody knows. The hub tells of a service at rest what it last said."""
    trouble: str | None = None


def speakers(text: str) -> tuple[Speaker, ...]:
    """`ollama=http://ollama:11434/v1 llama=http://llama:8080/v1#llama`: name, address, after # the catalogue's models.
    Raises ValueError naming the word that is none of these."""
    return tuple(_speaker(word) for word in text.split())


def _speaker(word: str) -> Speaker:
    name, _, rest = word.partition("=")
    address, _, named = rest.partition("#")
    parts = urlsplit(address)
    if not name or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{word!r} is not NAME=http://HOST:PORT/v1, with #MODEL,… behind it where the catalogue has some"
        )
    return Speaker(name, address.rstrip("/"), tuple(one for one in named.split(",") if one))


def read(document: object) -> tuple[Mapping[str, Any], ...]:
    """The models of a reply. Raises ValueError where it is none of OpenAI's form."""
    data = document.get("data") if isinstance(document, Mapping) else None
    if data is None and isinstance(document, Mapping) and document.get("object") == "list":
        return ()  # Ollama without a model says null
    if not isinstance(data, list) or not all(isinstance(one, Mapping) and one.get("id") for one in data):
        raise ValueError('its reply is no {"data": [{"id": …}, …]}')
    return tuple(data)


def merged(found: Sequence[Listed]) -> dict[str, Any]:
    """The answer: every model, and in `services` how each service stands, also one whose models nobody knows."""
    return {
        "object": "list",
        "data": [entry for listed in found for entry in _entries(listed)],
        "services": {listed.speaker.service: _standing(listed) for listed in found},
    }


def _entries(listed: Listed) -> Iterable[dict[str, Any]]:
    speaker = listed.speaker
    own = {str(one["id"]): one for one in listed.models or ()}
    for name in (*own, *(name for name in speaker.named if name not in own)):
        known = own.get(name, {})
        yield {
            "id": name,
            "object": "model",
            "created": known.get("created", 0),
            "owned_by": known.get("owned_by", speaker.service),
            "service": speaker.service,
            "path": speaker.path,
            "state": listed.state,
        }


def _standing(listed: Listed) -> dict[str, Any]:
    count = None if listed.models is None else len(listed.models)
    found = {"state": listed.state, "path": listed.speaker.path, "models": count, "trouble": listed.trouble}
    return {key: value for key, value in found.items() if value is not None}
