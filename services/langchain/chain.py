"""What a chain is: inputs in, events out. The one seam between the chains and the HTTP around them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, ConfigDict, Field


class Inputs(BaseModel):
    """What every chain takes. A description says what a field has to be: it is the remedy for one that is not."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: Annotated[str, Field(min_length=1, description="a text that is not empty")]
    model: Annotated[str | None, Field(min_length=1, description="a model that Ollama has, or left out")] = None
    temperature: Annotated[float | None, Field(ge=0, le=2, description="a number from 0 to 2, or left out")] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=100_000, description="a whole number from 1 to 100000")] = None


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the output; all pieces in their order are the output."""

    piece: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the chain has done on the way."""

    what: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Details:
    """What the result holds beside its output."""

    more: Mapping[str, Any] = field(default_factory=dict)


Event = Text | Step | Details


class Searching(Protocol):
    async def search(self, query: str, collection: str, k: int, store: str | None) -> list[Mapping[str, Any]]:
        """Hits with `id`, `score`, `text`, `metadata`, the nearest first. Raises Refused, UpstreamFailed."""


class Ground(Protocol):
    """What chains stand on."""

    @property
    def vectors(self) -> Searching: ...

    def model(self, inputs: Inputs) -> BaseChatModel:
        """The one that the inputs name, or the usual one."""


class Chain(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def inputs(self) -> type[Inputs]: ...

    def run(self, inputs: Any, ground: Ground) -> AsyncGenerator[Event, None]:
        """`inputs`: of the chain's own kind. Closing it early ends what it has asked of models. Raises Refused, and
        what the model's client raises."""
