"""The prompt to the model, the answer back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from pydantic import Field

from services.langchain.chain import Event, Ground, Inputs, Text


class SimpleInputs(Inputs):
    system: Annotated[str | None, Field(description="a text that tells the model how to answer, or left out")] = None


class Simple:
    name = "simple"
    description = "The prompt to the model, the answer back"
    inputs = SimpleInputs

    async def run(self, inputs: SimpleInputs, ground: Ground) -> AsyncGenerator[Event, None]:
        # As messages, not as a template: braces in a prompt are the user's own.
        told: list[BaseMessage] = [SystemMessage(inputs.system)] if inputs.system else []
        chain = ground.model(inputs) | StrOutputParser()
        async for piece in chain.astream([*told, HumanMessage(inputs.prompt)]):
            yield Text(piece)
