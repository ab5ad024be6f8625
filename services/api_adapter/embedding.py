"""Texts → vectors by Ollama, with its own client."""

from __future__ import annotations

from collections.abc import Sequence

from ollama import AsyncClient

from services.api_adapter.vectors import Vector

_AT_ONCE = 64
"""Texts in one request; the model takes them one after another anyway."""


class OllamaEmbedder:
    """A sleeping Ollama wakes in the request. `longest`: seconds that one may take."""

    def __init__(self, base: str, longest: float) -> None:
        self._client = AsyncClient(base, timeout=longest)

    async def embed(self, texts: Sequence[str], model: str) -> list[Vector]:
        """Raises what the client raises: `ollama.ResponseError` with 404 where there is no such model."""
        found: list[Vector] = []
        for begin in range(0, len(texts), _AT_ONCE):
            part = texts[begin : begin + _AT_ONCE]
            reply = await self._client.embed(model, part)
            if len(reply.embeddings) != len(part):
                raise ValueError(f"{len(reply.embeddings)} vectors came for {len(part)} texts; is {model} made for it?")
            found += [list(vector) for vector in reply.embeddings]
        return found

    async def close(self) -> None:
        await self._client.close()
