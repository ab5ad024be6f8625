"""What the process is told by its environment, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from services.api_adapter.translate.models import Speaker, speakers
from services.api_adapter.vectors import StoreName

_T = TypeVar("_T")


class SettingFault(Exception):
    """All that is wrong, a line each: variable, value, what would be right."""


@dataclass(frozen=True, slots=True)
class Settings:
    ollama: str = "http://ollama:11434"
    chroma: str = "http://chroma:8000"
    qdrant: str = "http://qdrant:6333"
    store: StoreName = StoreName.CHROMA
    """Where a request names none."""
    embedding_model: str = "nomic-embed-text"
    """What new collections are embedded with."""
    speakers: tuple[Speaker, ...] = ()
    """Services asked for their models."""
    longest: float = 330.0
    """Seconds that one answer of a service may take: the hub holds a request for 300."""
    largest: int = 32 << 20
    """Bytes of a request's body."""


def read(environ: Mapping[str, str]) -> Settings:
    """Raises SettingFault. An empty variable is one that is not there."""
    reading = _Reading(environ)
    known = Settings()
    found = Settings(
        ollama=reading.of("OLLAMA_BASE", _base, known.ollama),
        chroma=reading.of("CHROMA_BASE", _base, known.chroma),
        qdrant=reading.of("QDRANT_BASE", _base, known.qdrant),
        store=reading.of("AIHUB_VECTOR_STORE", _store, known.store),
        embedding_model=reading.of("AIHUB_EMBEDDING_MODEL", str, known.embedding_model),
        speakers=reading.of("AIHUB_MODEL_SERVICES", speakers, known.speakers),
        longest=reading.of("AIHUB_ADAPTER_PATIENCE", _seconds, known.longest),
        largest=reading.of("AIHUB_ADAPTER_LARGEST_BODY", _bytes, known.largest),
    )
    if reading.faults:
        raise SettingFault("\n".join(reading.faults))
    return found


class _Reading:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []

    def of(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        text = self._environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.faults.append(f"{name}: {error}")
            return default


def _base(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no address such as http://ollama:11434")
    return text.rstrip("/")


def _store(text: str) -> StoreName:
    if text not in list(StoreName):
        raise ValueError(f"{text!r} is none of {', '.join(StoreName)}")
    return StoreName(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 3600:
        raise ValueError(f"{text!r} is no number of seconds from 1 to 3600")
    return value


def _bytes(text: str) -> int:
    if not text.isdigit() or not 1024 <= int(text) <= 1 << 30:
        raise ValueError(f"{text!r} is no number of bytes from 1024 to {1 << 30}")
    return int(text)
