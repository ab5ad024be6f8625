"""An answer from what a collection holds, with its sources."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from services.langchain.chain import Details, Event, Ground, Inputs, Text

_PROMPT = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "Answer the question from the sources below alone. Name those you use by their numbers, as [1]. Say so if"
            " the answer is not in them.\n\n{sources}",
        ),
        ("user", "{question}"),
    ]
)
_SCORE = "aihub_score"
_SHOWN = 400
"""Signs of a source's text in the result; the model gets all of it."""


class RagInputs(Inputs):
    collection: Annotated[str, Field(min_length=1, description="the name of a collection")]
    store: Annotated[str | None, Field(description="chroma, qdrant, or left out")] = None
    k: Annotated[int, Field(ge=1, le=50, description="how many sources are looked up, from 1 to 50")] = 4


class HubRetriever(BaseRetriever):  # type: ignore[misc]  # seen where langchain is not installed
    """Looks documents up by the adapter, in whichever store the collection is."""

    vectors: Any
    """A `Searching`."""
    collection: str
    k: int = 4
    store: str | None = None

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        hits = await self.vectors.search(query, self.collection, self.k, self.store)
        return [
            Document(
                page_content=hit["text"],
                id=hit["id"],
                metadata={**hit.get("metadata", {}), _SCORE: hit["score"]},
            )
            for hit in hits
        ]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        raise NotImplementedError("it only awaits: use ainvoke")


class Rag:
    name = "rag"
    description = "An answer from what a collection of vectors holds, with its sources"
    inputs = RagInputs

    async def run(self, inputs: RagInputs, ground: Ground) -> AsyncGenerator[Event, None]:
        retriever = HubRetriever(vectors=ground.vectors, collection=inputs.collection, k=inputs.k, store=inputs.store)
        documents = await retriever.ainvoke(inputs.prompt)
        if not documents:
            yield Text(f"The collection {inputs.collection} holds nothing.")
            yield Details({"sources": []})
            return
        chain = _PROMPT | ground.model(inputs) | StrOutputParser()
        async for piece in chain.astream({"sources": _numbered(documents), "question": inputs.prompt}):
            yield Text(piece)
        yield Details({"sources": [_source(number, one) for number, one in enumerate(documents, 1)]})


def _numbered(documents: Sequence[Document]) -> str:
    return "\n\n".join(f"[{number}] {one.page_content}" for number, one in enumerate(documents, 1))


def _source(number: int, document: Document) -> dict[str, Any]:
    metadata = dict(document.metadata)
    score = metadata.pop(_SCORE, None)
    text = document.page_content
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return {"number": number, "id": document.id, "score": score, "text": shown, "metadata": metadata}
