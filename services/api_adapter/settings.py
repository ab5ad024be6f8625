"""What the process is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.api_adapter.translate.models import Speaker, speakers
from services.api_adapter.vectors import StoreName
from services.web_service.settings import Reading, base, number, seconds


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
    patience: float = 330.0
    """Seconds that one answer of a service may take: the hub holds a request for 300."""
    largest: int = 32 << 20
    """Bytes of a request's body."""


def read(environ: Mapping[str, str]) -> Settings:
    """Raises SettingFault."""
    reading, known = Reading(environ), Settings()
    found = Settings(
        ollama=reading.of("OLLAMA_BASE", base, known.ollama),
        chroma=reading.of("CHROMA_BASE", base, known.chroma),
        qdrant=reading.of("QDRANT_BASE", base, known.qdrant),
        store=reading.of("AIHUB_VECTOR_STORE", _store, known.store),
        embedding_model=reading.of("AIHUB_EMBEDDING_MODEL", str, known.embedding_model),
        speakers=reading.of("AIHUB_MODEL_SERVICES", speakers, known.speakers),
        patience=reading.of("AIHUB_PATIENCE", seconds, known.patience),
        largest=reading.of("AIHUB_LARGEST_BODY", number(1024, 1 << 30), known.largest),
    )
    reading.end()
    return found


def _store(text: str) -> StoreName:
    if text not in list(StoreName):
        raise ValueError(f"{text!r} is none of {', '.join(StoreName)}")
    return StoreName(text)
