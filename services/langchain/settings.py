"""What the process is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.web_service.settings import Reading, base, number, seconds


@dataclass(frozen=True, slots=True)
class Settings:
    ollama: str = "http://ollama:11434"
    adapter: str = "http://api-adapter:8000"
    """Answers `/vectors/search`."""
    model: str = "llama3.2"
    """Where a request names none."""
    patience: float = 330.0
    """Seconds without a sign of life of another service: the hub holds a request for 300."""
    largest: int = 8 << 20
    """Bytes of a request's body."""


def read(environ: Mapping[str, str]) -> Settings:
    """Raises SettingFault."""
    reading, known = Reading(environ), Settings()
    found = Settings(
        ollama=reading.of("OLLAMA_BASE", base, known.ollama),
        adapter=reading.of("ADAPTER_BASE", base, known.adapter),
        model=reading.of("AIHUB_CHAT_MODEL", str, known.model),
        patience=reading.of("AIHUB_PATIENCE", seconds, known.patience),
        largest=reading.of("AIHUB_LARGEST_BODY", number(1024, 1 << 30), known.largest),
    )
    reading.end()
    return found
