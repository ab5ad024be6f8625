"""The chains with the real packages of their lock, a real Ollama and the real adapter.

The model's words are noise, so what a chain makes of an answer is shown with an Ollama that acts: it speaks the real
one's words over HTTP, and says what the test wants.
"""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.api_adapter.unified_ai_client import NotFound, UnifiedAIClient
from tests.support.acting_hub import Act, ActingHub, acting_hub, says
from tests.support.asking import ask
from tests.support.own_services import own

pytestmark = [pytest.mark.process, pytest.mark.network]


def message(text: str, *calls: tuple[str, dict[str, Any]]) -> Act:
    """One whole answer of `/api/chat`, as a stream of one line."""
    tools = [{"function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    said: dict[str, Any] = {"role": "assistant", "content": text, **({"tool_calls": tools} if tools else {})}
    end = {"model": "acting", "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop"}
    return says(json.dumps({**end, "message": said}).encode() + b"\n", Content_Type="application/x-ndjson")


@pytest.fixture
def acting() -> Iterator[ActingHub]:
    with acting_hub() as hub:
        yield hub


@pytest.fixture
def acted(acting: ActingHub, adapter: str, tmp_path: Path) -> Iterator[str]:
    """Chains over an Ollama that acts."""
    environment = {"OLLAMA_BASE": acting.base, "ADAPTER_BASE": adapter, "AIHUB_CHAT_MODEL": "acting"}
    with own("langchain", environment, tmp_path) as base:
        yield base


@pytest.fixture
def docs(adapter: str) -> str:
    name = f"docs-{uuid.uuid4().hex[:8]}"
    items = [{"id": "a", "text": "the hub sleeps at night"}, {"id": "b", "text": "x", "metadata": {"page": 3}}]
    assert ask(f"{adapter}/vectors/upsert", {"collection": name, "items": items}).status == 200
    return name


def test_every_chain_tells_what_it_takes(chains: str) -> None:
    found = {one["type"]: one for one in ask(f"{chains}/chains").json["chains"]}
    assert found.keys() == {"simple", "summarize", "rag", "agent"}
    assert all(one["description"] for one in found.values())
    assert "collection" in found["rag"]["inputs"]["required"]
    assert found["simple"]["inputs"]["properties"]["prompt"]["description"]


def test_a_real_model_answers_a_simple_chain(chains: str) -> None:
    told = ask(f"{chains}/chains/simple", {"prompt": "hello {braces}", "max_tokens": 8, "temperature": 0})
    assert told.status == 200
    assert told.json.keys() == {"chain", "output"}
    again = ask(f"{chains}/chains/simple", {"prompt": "hello {braces}", "max_tokens": 8, "temperature": 0})
    assert again.json == told.json


def test_a_stream_gives_the_same_as_a_whole_answer(chains: str) -> None:
    body = {"prompt": "hello", "max_tokens": 20, "temperature": 0}
    *events, end = ask(f"{chains}/chains/simple/stream", body).events
    assert end == "[DONE]"
    assert "".join(event["text"] for event in events) == ask(f"{chains}/chains/simple", body).json["output"]


def test_the_prompt_and_what_stands_above_it_reach_the_model(acted: str, acting: ActingHub) -> None:
    acting.then(message("blue"))
    told = ask(f"{acted}/chains/simple", {"prompt": "why {x}?", "system": "be brief", "temperature": 0.5})
    assert told.json == {"chain": "simple", "output": "blue"}
    (asked,) = acting.asked
    assert [(one["role"], one["content"]) for one in asked.body["messages"]] == [
        ("system", "be brief"),
        ("user", "why {x}?"),
    ]
    assert (asked.body["model"], asked.body["options"]["temperature"]) == ("acting", 0.5)


def test_a_long_text_is_summarised_in_parts_first(acted: str, acting: ActingHub) -> None:
    acting.then(message("short."))
    text = "\n\n".join(f"Paragraph {number} says something." for number in range(30))
    told = ask(f"{acted}/chains/summarize", {"prompt": text, "part_size": 400, "wish": "In one sentence."}).json
    assert (told["output"], told["rounds"], told["cut"]) == ("short.", 1, False)
    assert told["parts"] == len(acting.asked) - 1 > 2
    *parts, whole = [asked.body["messages"][0]["content"] for asked in acting.asked]
    assert all("Paragraph" in part for part in parts)
    assert "In one sentence." in whole
    assert "short." in whole


def test_a_model_that_makes_texts_longer_ends_all_the_same(acted: str, acting: ActingHub) -> None:
    acting.then(message("long " * 200))
    told = ask(f"{acted}/chains/summarize", {"prompt": "word " * 200, "part_size": 400}).json
    assert (told["rounds"], told["cut"]) == (1, True)


def test_an_answer_from_a_collection_names_its_sources(acted: str, acting: ActingHub, docs: str) -> None:
    acting.then(message("At night [1]."))
    told = ask(f"{acted}/chains/rag", {"prompt": "the hub sleeps at night", "collection": docs, "k": 2}).json
    assert told["output"] == "At night [1]."
    first, second = told["sources"]
    assert (first["number"], first["id"], first["text"]) == (1, "a", "the hub sleeps at night")
    assert first["score"] > second["score"]
    assert second["metadata"] == {"page": 3}
    system, question = acting.asked[0].body["messages"]
    assert "[1] the hub sleeps at night" in system["content"]
    assert question["content"] == "the hub sleeps at night"


def test_a_collection_that_is_not_there_is_told_as_the_adapter_tells_it(chains: str) -> None:
    told = ask(f"{chains}/chains/rag", {"prompt": "x", "collection": "nowhere"})
    assert (told.status, told.json["field"], told.json["value"]) == (404, "collection", "nowhere")
    assert "upsert" in told.json["remedy"]


def test_an_agent_uses_its_tools_and_then_answers(acted: str, acting: ActingHub, docs: str) -> None:
    acting.then(
        message("", ("calculate", {"expression": "6 * 7"})),
        message("", ("search", {"query": "the hub sleeps at night"})),
        message("42, and it sleeps."),
    )
    told = ask(f"{acted}/chains/agent", {"prompt": "what?", "collection": docs}).json
    assert told["output"] == "42, and it sleeps."
    assert (told["model_calls"], told["ended_by_limit"]) == (3, False)
    calculated, gave, searched, hits = told["steps"]
    assert calculated == {"tool": "calculate", "input": {"expression": "6 * 7"}}
    assert gave == {"tool": "calculate", "output": "42"}
    assert searched["tool"] == "search"
    assert "the hub sleeps at night" in hits["output"]
    assert {tool["function"]["name"] for tool in acting.asked[0].body["tools"]} == {"calculate", "search"}


def test_an_agent_without_a_collection_has_nothing_to_search(acted: str, acting: ActingHub) -> None:
    acting.then(message("no"))
    assert ask(f"{acted}/chains/agent", {"prompt": "what?"}).json["output"] == "no"
    assert [tool["function"]["name"] for tool in acting.asked[0].body["tools"]] == ["calculate"]


def test_an_agent_that_never_comes_to_an_end_is_brought_to_one(acted: str, acting: ActingHub) -> None:
    acting.then(message("", ("calculate", {"expression": "1 + 1"})))
    told = ask(f"{acted}/chains/agent", {"prompt": "what?", "max_steps": 3})
    assert told.status == 200, told.text
    assert (told.json["model_calls"], told.json["ended_by_limit"]) == (3, True)
    assert len(acting.asked) == 3


def test_a_tool_that_fails_tells_the_model_and_not_the_user(acted: str, acting: ActingHub) -> None:
    acting.then(message("", ("calculate", {"expression": "1 / 0"})), message("not possible"))
    told = ask(f"{acted}/chains/agent", {"prompt": "what?"}).json
    assert told["output"] == "not possible"
    assert told["steps"][1]["output"].startswith("error:")


def test_steps_of_an_agent_are_events_of_their_own(acted: str, acting: ActingHub) -> None:
    acting.then(message("", ("calculate", {"expression": "2 ** 5"})), message("32"))
    *events, end = ask(f"{acted}/chains/agent/stream", {"prompt": "what?"}).events
    assert [next(iter(event)) for event in events] == ["step", "step", "text", "details"]
    assert (events[2]["text"], end) == ("32", "[DONE]")


def test_a_model_that_knows_no_tools_is_told_as_ollama_tells_it(chains: str) -> None:
    told = ask(f"{chains}/chains/agent", {"prompt": "what?"})
    assert told.status == 400
    assert "does not support tools" in told.json["detail"]


@pytest.mark.parametrize("way", ["", "/stream"])
def test_a_model_that_is_not_there_is_named_with_what_fetches_it(chains: str, way: str) -> None:
    told = ask(f"{chains}/chains/simple{way}", {"prompt": "hello", "model": "nope"})
    assert told.status == 404
    assert told.json["remedy"].startswith("ollama pull nope, or POST /api/ollama/api/pull")


def test_what_is_wrong_in_a_request_is_told_with_field_and_remedy(chains: str) -> None:
    for body, field in (
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "temperature": 3}, "temperature"),
        ({"prompt": "x", "colection": "y"}, "colection"),
        ({}, "prompt"),
    ):
        told = ask(f"{chains}/chains/simple", body)
        assert (told.status, told.json["field"]) == (400, field)
        assert told.json["remedy"]
    told = ask(f"{chains}/chains/sorting", {"prompt": "x"})
    assert (told.status, told.json["remedy"]) == (404, "one of simple, summarize, rag, agent")


def test_the_gates_refusal_comes_through_with_its_time(acted: str, acting: ActingHub) -> None:
    refusal = {"error": {"code": "no-room", "message": "no room for ollama"}}
    acting.then(says(refusal, 503, x_hub_state="stopped", retry_after="11"))
    told = ask(f"{acted}/chains/simple", {"prompt": "x"})
    assert (told.status, told.headers.get("retry-after"), told.json["detail"]) == (503, "11", "no room for ollama")


@pytest.mark.parametrize("way", ["", "/stream"])
def test_a_client_that_leaves_ends_the_models_work(acted: str, acting: ActingHub, way: str) -> None:
    piece = {"model": "acting", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "x"}}

    async def endless(request: web.Request) -> web.StreamResponse:
        import asyncio

        reply = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await reply.prepare(request)
        while True:
            await reply.write(json.dumps({**piece, "done": False}).encode() + b"\n")
            await asyncio.sleep(0.01)

    acting.then(endless)
    host, _, port = acted.removeprefix("http://").partition(":")
    body = b'{"prompt": "x"}'
    with socket.create_connection((host, int(port))) as client:
        head = f"POST /chains/simple{way} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        end = time.monotonic() + 20
        while not acting.asked:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert acting.left.wait(20), "the model goes on for a client that has left"


def test_a_failure_in_the_middle_of_a_stream_is_its_last_event(acted: str, acting: ActingHub) -> None:
    first = {"model": "acting", "created_at": "2026-01-01T00:00:00Z", "done": False}
    lines = [{**first, "message": {"role": "assistant", "content": "so far"}}, {"error": "out of memory"}]
    acting.then(says("\n".join(map(json.dumps, lines)).encode() + b"\n", Content_Type="application/x-ndjson"))
    first_event, last = ask(f"{acted}/chains/simple/stream", {"prompt": "x"}).events
    assert first_event == {"text": "so far"}
    assert "out of memory" in last["detail"]


class Behind:
    """What a gateway does with paths: `/api/NAME/…` to each service without its prefix."""

    def __init__(self, **services: str) -> None:
        self._services = {name.replace("_", "-"): base for name, base in services.items()}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        import aiohttp

        _, _, name, rest = request.path_qs.split("/", 3)
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, f"{self._services[name]}/{rest}", data=await request.read()) as answer,
        ):
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)


def test_the_python_client_and_the_services_understand_each_other(
    acting: ActingHub, ollama: str, adapter: str, chains: str, docs: str
) -> None:
    acting.then(Behind(ollama=ollama, api_adapter=adapter, langchain=chains))
    with UnifiedAIClient(acting.base) as hub:
        assert hub.chat_completion("hello", model="tiny", max_tokens=4).tokens["completion_tokens"] <= 4
        assert "".join(hub.chat_stream("hello", model="tiny", max_tokens=8, temperature=0)) == str(
            hub.chat_completion("hello", model="tiny", max_tokens=8, temperature=0)
        )
        assert [len(vector) for vector in hub.embed(["a", "b"], model="tiny")] == [64, 64]
        assert "tiny:latest" in {model.id for model in hub.models()}
        hits = hub.vector_search("the hub sleeps at night", docs, k=1)
        assert [(hit.id, round(hit.score, 3)) for hit in hits] == [("a", 1.0)]
        assert hub.vector_upsert(["another text"], docs)
        assert docs in {one["name"] for one in hub.vector_collections()}
        assert hub.execute_chain("hub", "rag", collection=docs, max_tokens=4).details["sources"]
        body = {"max_tokens": 8, "temperature": 0}
        assert "".join(hub.chain_stream("hello", **body)) == hub.execute_chain("hello", **body).output
        with pytest.raises(NotFound, match="ollama pull nope"):
            hub.execute_chain("hello", model="nope")
        with pytest.raises(NotFound, match="nope"):
            hub.chat_completion("hello", model="nope")
