"""A summary of a text of any length: of its parts first, then of their summaries, until one call of the model holds it.

Each round is shorter than the one before, or it ends: a model that makes texts longer would go on for ever.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_text_splitters import RecursiveCharacterTextSplitter
from pydantic import Field

from services.langchain.chain import Details, Event, Ground, Inputs, Step, Text

_PART = ChatPromptTemplate.from_messages(
    [("user", "Summarise this part of a longer text in a few sentences. Keep names and numbers.\n\n{text}")]
)
_WHOLE = ChatPromptTemplate.from_messages([("user", "Write a summary of this text.{wish}\n\n{text}")])
_AT_ONCE = 2
"""Parts that the model is asked about at a time: it has the same cores for all of them."""
_MOST_ROUNDS = 6
_OVERLAP = 0.05


class SummarizeInputs(Inputs):
    wish: Annotated[str | None, Field(description="how the summary shall be, such as: in one sentence")] = None
    part_size: Annotated[
        int, Field(ge=200, le=100_000, description="characters in one call of the model, from 200 to 100000")
    ] = 6000


class Summarize:
    name = "summarize"
    description = "A summary of the prompt, however long it is"
    inputs = SummarizeInputs

    async def run(self, inputs: SummarizeInputs, ground: Ground) -> AsyncGenerator[Event, None]:
        model = ground.model(inputs)
        of_part: Runnable[dict[str, str], str] = _PART | model | StrOutputParser()
        of_whole: Runnable[dict[str, str], str] = _WHOLE | model | StrOutputParser()
        text, parts, rounds = inputs.prompt, 1, 0
        while len(text) > inputs.part_size and rounds < _MOST_ROUNDS:
            pieces = split(text, inputs.part_size)
            rounds += 1
            parts = parts if rounds > 1 else len(pieces)
            yield Step({"round": rounds, "parts": len(pieces)})
            asked = [{"text": piece} for piece in pieces]
            shorter = "\n\n".join(await of_part.abatch(asked, config={"max_concurrency": _AT_ONCE}))
            text, longer = shorter, len(shorter) >= len(text)
            if longer:
                break
        wish = f" {inputs.wish}" if inputs.wish else ""
        async for piece in of_whole.astream({"text": text[: inputs.part_size], "wish": wish}):
            yield Text(piece)
        yield Details({"parts": parts, "rounds": rounds, "cut": len(text) > inputs.part_size})


def split(text: str, size: int) -> Sequence[str]:
    """At paragraphs, then sentences, then words; parts overlap a little."""
    splitter = RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=int(size * _OVERLAP))
    found: list[str] = splitter.split_text(text)
    return found
