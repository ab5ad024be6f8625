"""What the client's calls give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer; `str()` of it is the text."""

    text: str
    model: str
    finish_reason: str | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    """`prompt_tokens`, `completion_tokens`, `total_tokens`, where the service counts."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ChainResult:
    """A chain's output; `str()` of it is the text."""

    output: str
    chain: str
    details: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the chain tells: `sources`, `steps`."""

    def __str__(self) -> str:
        return self.output


@dataclass(frozen=True, slots=True)
class Hit:
    id: str
    score: float
    """Higher is nearer."""
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    service: str
    """Serves it: `chat_completion(…, service=…)`."""
    path: str
    state: str
    """Of the service: `ready`, `asleep`, …"""
