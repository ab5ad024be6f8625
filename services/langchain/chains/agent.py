"""A model that may use tools: arithmetic, and a look into a collection. It takes so many steps and no more.

Its tools change nothing and reach nothing but the adapter: whatever a prompt talks the model into stays harmless.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import Field

from services.langchain.arithmetic import calculated
from services.langchain.chain import Details, Event, Ground, Inputs, Step, Text

_SYSTEM = "Use the tools where they help. Then answer in a few sentences."
_SHOWN = 2000
"""Signs of what a tool gave, in the result."""


class AgentInputs(Inputs):
    collection: Annotated[
        str | None, Field(min_length=1, description="the name of a collection that may be searched, or left out")
    ] = None
    store: Annotated[str | None, Field(description="chroma, qdrant, or left out")] = None
    max_steps: Annotated[int, Field(ge=1, le=20, description="calls of the model, from 1 to 20")] = 6


class Agent:
    name = "agent"
    description = "A model that may calculate and look into a collection before it answers; it has to know tools"
    inputs = AgentInputs

    async def run(self, inputs: AgentInputs, ground: Ground) -> AsyncGenerator[Event, None]:
        agent = create_agent(
            ground.model(inputs),
            tools(inputs, ground),
            system_prompt=_SYSTEM,
            middleware=[ModelCallLimitMiddleware(run_limit=inputs.max_steps, exit_behavior="end")],
        )
        steps: list[dict[str, Any]] = []
        last: BaseMessage | None = None
        calls = 0
        asked = {"messages": [HumanMessage(inputs.prompt)]}
        # One step is a few nodes of the graph; the middleware counts steps, the graph's own limit is only beyond it.
        config = {"recursion_limit": 10 + 6 * inputs.max_steps}
        async for update in agent.astream(asked, config=config, stream_mode="updates"):
            for message in _messages(update):
                calls += isinstance(message, AIMessage) and bool(message.response_metadata)
                last = message
                for step in _steps(message):
                    steps.append(step)
                    yield Step(step)
        yield Text(_text(last))
        ended = isinstance(last, AIMessage) and not last.response_metadata
        yield Details({"steps": steps, "model_calls": calls, "ended_by_limit": ended})


def tools(inputs: AgentInputs, ground: Ground) -> list[BaseTool]:
    def calculate(expression: str) -> str:
        try:
            return calculated(expression)
        except ValueError as error:
            return f"error: {error}"

    about = "Work out an arithmetic expression such as (3 + 4) * 2 ** 5 / 7."
    found: list[BaseTool] = [StructuredTool.from_function(calculate, name="calculate", description=about)]
    if inputs.collection is None:
        return found
    collection, store = inputs.collection, inputs.store

    async def search(query: str) -> str:
        hits = await ground.vectors.search(query, collection, 4, store)
        return json.dumps([{"text": hit["text"], "score": round(hit["score"], 3)} for hit in hits], ensure_ascii=False)

    about = "Look up texts about something in the user's collection."
    return [*found, StructuredTool.from_function(coroutine=search, name="search", description=about)]


def _messages(update: Any) -> list[BaseMessage]:
    parts = update.values() if isinstance(update, dict) else ()
    return [message for part in parts if isinstance(part, dict) for message in part.get("messages") or ()]


def _steps(message: BaseMessage) -> list[dict[str, Any]]:
    if isinstance(message, AIMessage):
        return [{"tool": call["name"], "input": call["args"]} for call in message.tool_calls]
    if isinstance(message, ToolMessage):
        return [{"tool": message.name, "output": str(message.content)[:_SHOWN]}]
    return []


def _text(message: BaseMessage | None) -> str:
    return "" if message is None else message.text if isinstance(message.text, str) else str(message.content)
