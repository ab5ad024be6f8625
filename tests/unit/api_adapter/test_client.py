"""The Python client against a server that says what a hub says. Each test is of both faces, unless it is of one."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.api_adapter import unified_ai_client
from services.api_adapter.client import calls
from services.api_adapter.client.calls import Answer
from services.api_adapter.unified_ai_client import (
    AsyncUnifiedAIClient,
    BadReply,
    BadRequest,
    ConnectionLost,
    HubError,
    KeyRefused,
    NotAwake,
    NotFound,
    NotReached,
    Refused,
    ServiceFailed,
    TimedOut,
    TooMany,
    UnifiedAIClient,
)
from services.deploy import certificate
from tests.support.acting_hub import ActingHub, acting_hub, falls_silent, for_ever, hangs_up, says, streams

CHAT = {
    "model": "tiny",
    "choices": [{"message": {"role": "assistant", "content": "blue"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "details": {}},
}
README = Path(__file__).resolve().parents[3] / "README.md"
ASLEEP = {"error": {"code": "waiting", "message": "ollama is still starting"}}


@pytest.fixture
def acting() -> Iterator[ActingHub]:
    with acting_hub() as hub:
        yield hub


@pytest.fixture
def client(acting: ActingHub) -> Iterator[UnifiedAIClient]:
    with UnifiedAIClient(acting.base) as client:
        yield client


def delta(text: str | None) -> str:
    return json.dumps({"choices": [{"delta": {} if text is None else {"content": text}}]})


def test_a_chat_goes_straight_to_the_service_that_has_the_model(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says(CHAT))
    answer = client.chat_completion("why?", "tiny", system="be brief", temperature=0)
    assert (str(answer), answer.model, answer.finish_reason) == ("blue", "tiny", "stop")
    assert answer.tokens == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    assert answer.raw["choices"] == CHAT["choices"]
    (asked,) = acting.asked
    assert (asked.method, asked.path) == ("POST", "/api/ollama/v1/chat/completions")
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}]
    assert asked.body == {"model": "tiny", "messages": messages, "temperature": 0}
    assert "apikey" not in asked.headers
    assert "x-hub-wait" not in asked.headers


def test_messages_may_be_given_whole_and_another_service_named(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says({**CHAT, "usage": None, "choices": [{"message": {"content": None}}]}))
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    answer = client.chat_completion(messages, model="m", service="llama")
    assert (answer.text, dict(answer.tokens)) == ("", {})
    assert acting.asked[0].path == "/api/llama/v1/chat/completions"
    assert acting.asked[0].body["messages"] == messages


def test_a_stream_comes_piece_by_piece(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(streams(delta("he"), delta(None), '{"choices": []}', delta("llo")))
    assert list(client.chat_stream("hi", "tiny", system="s")) == ["he", "llo"]
    assert acting.asked[0].body["stream"] is True


def test_leaving_a_stream_early_ends_it_at_the_service(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(for_ever(delta("x")))
    for piece in client.chat_stream("hi", "tiny"):
        assert piece == "x"
        break
    assert acting.left.wait(10)


async def test_leaving_an_awaited_stream_early_ends_it_too(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    async with AsyncUnifiedAIClient(acting.base) as client:
        stream = client.chat_stream("hi", "tiny")
        async for piece in stream:
            assert piece == "x"
            break
        await stream.aclose()
    assert await asyncio.to_thread(acting.left.wait, 10)


def test_a_stream_that_breaks_off_is_no_whole_answer(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(streams(delta("he"), end=False))
    pieces: list[str] = []
    with pytest.raises(ConnectionLost, match="before its end"):
        pieces += client.chat_stream("hi", "tiny")
    acting.then(streams(delta("he"), '{"error": {"message": "out of memory"}}'))
    with pytest.raises(BadReply, match="out of memory"):
        list(client.chat_stream("hi", "tiny"))


def test_a_stream_that_is_refused_says_why(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says({"error": {"message": "model 'x' not found"}}, 404))
    with pytest.raises(NotFound, match="404: model 'x' not found"):
        list(client.chat_stream("hi", "x"))
    problem = {"detail": "no such model", "status": 404, "remedy": "ollama pull x", "field": "model"}
    acting.then(streams('{"text": "so far"}', json.dumps(problem)))
    with pytest.raises(NotFound, match=r"no such model \(ollama pull x\)") as refused:
        list(client.chain_stream("hi", "simple", model="x"))
    assert (refused.value.field, refused.value.remedy) == ("model", "ollama pull x")


def test_an_event_of_a_size_that_nobody_sends_is_told(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(streams(delta("x" * (1 << 20))))
    with pytest.raises(BadReply, match="chat/completions"):
        list(client.chat_stream("hi", "tiny"))


def test_an_event_of_several_lines_is_one(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(streams('{"text":\n"a"}'))
    assert list(client.chain_stream("hi")) == ["a"]


def test_vectors_come_in_the_order_of_the_texts(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says({"data": [{"index": 1, "embedding": [3]}, {"index": 0, "embedding": [1, 2.5]}]}))
    assert client.embed(["a", "b"]) == [[1.0, 2.5], [3.0]]
    assert client.embed("a", "tiny") == [[1.0, 2.5], [3.0]]
    assert [asked.body["input"] for asked in acting.asked] == [["a", "b"], ["a"]]
    assert acting.asked[0].body["model"] == "nomic-embed-text"


def test_models_and_health_are_asked_for_without_a_wake(acting: ActingHub, client: UnifiedAIClient) -> None:
    entry = {"id": "tiny", "service": "ollama", "path": "/api/ollama/v1", "state": "asleep"}
    acting.then(says({"data": [entry]}), says({"status": "ok"}), says({"state": "paused"}))
    (model,) = client.models()
    assert (model.id, model.service, model.path, model.state) == ("tiny", "ollama", "/api/ollama/v1", "asleep")
    assert client.health() == {"status": "ok"}
    assert client.health("ollama") == {"state": "paused"}
    assert [asked.path for asked in acting.asked] == ["/api/api-adapter/models", "/api/health", "/api/health/ollama"]


def test_a_chain_gives_its_output_and_what_else_it_tells(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says({"chain": "rag", "output": "42", "sources": [{"id": "a"}]}))
    result = client.execute_chain("what?", "rag", model="tiny", collection="docs", k=None)
    assert (str(result), result.chain, result.details) == ("42", "rag", {"sources": [{"id": "a"}]})
    assert acting.asked[0].path == "/api/langchain/chains/rag"
    assert acting.asked[0].body == {"prompt": "what?", "model": "tiny", "collection": "docs"}


def test_a_vector_search_gives_hits_nearest_first(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(
        says(
            {
                "results": [
                    {"id": "a", "score": 0.9, "text": "t", "metadata": {"y": 1}},
                    {"id": "b", "score": 0, "text": ""},
                ]
            }
        )
    )
    first, second = client.vector_search("what?", "docs", k=2, filter={"y": 1})
    assert (first.id, first.score, first.text, first.metadata) == ("a", 0.9, "t", {"y": 1})
    assert second.metadata == {}
    client.vector_search([1, 2], "docs", store="qdrant")
    assert [asked.body for asked in acting.asked] == [
        {"collection": "docs", "query": "what?", "k": 2, "filter": {"y": 1}},
        {"collection": "docs", "vector": [1.0, 2.0], "k": 5, "store": "qdrant"},
    ]


def test_texts_are_kept_with_or_without_more(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says({"ids": ["a", "b"]}), says({"collections": [{"name": "docs"}]}))
    assert client.vector_upsert(["x", {"id": "b", "text": "y"}], "docs", model="tiny") == ["a", "b"]
    assert acting.asked[0].body["items"] == [{"text": "x"}, {"id": "b", "text": "y"}]
    assert client.vector_collections(store="chroma") == [{"name": "docs"}]
    client.vector_collections()
    assert [asked.path.rpartition("/")[2] for asked in acting.asked] == [
        "upsert",
        "collections?store=chroma",
        "collections",
    ]


def test_what_the_hub_kept_from_its_service_is_asked_again(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says(ASLEEP, 503, retry_after="0", x_hub_state="starting"), says(CHAT))
    assert client.chat_completion("hi", "tiny").text == "blue"
    assert len(acting.asked) == 2


def test_after_so_many_times_it_gives_up_and_says_why(acting: ActingHub) -> None:
    acting.then(says(ASLEEP, 503, retry_after="0", x_hub_state="starting"))
    with UnifiedAIClient(acting.base, retries=1) as client, pytest.raises(NotAwake, match="still starting") as refused:
        client.chat_completion("hi", "tiny")
    assert len(acting.asked) == 2
    assert refused.value.retry_after == 0


@pytest.mark.parametrize(
    "answer",
    [
        says({"error": "overloaded"}, 503, retry_after="0"),
        says(ASLEEP, 503, x_hub_state="starting"),
        says(ASLEEP, 503, x_hub_state="starting", retry_after="soon"),
        says({"error": "bad gateway"}, 502, x_hub_state="starting", retry_after="0"),
        says({"error": "no"}, 500),
    ],
)
def test_what_a_service_may_have_done_is_never_asked_again(
    acting: ActingHub, client: UnifiedAIClient, answer: Any
) -> None:
    acting.then(answer)
    with pytest.raises(Refused):
        client.chat_completion("hi", "tiny")
    assert len(acting.asked) == 1


def test_a_connection_that_breaks_is_told_and_the_request_not_sent_again(
    acting: ActingHub, client: UnifiedAIClient
) -> None:
    acting.then(hangs_up)
    with pytest.raises(ConnectionLost):
        client.chat_completion("hi", "tiny")
    assert len(acting.asked) == 1


def test_silence_ends_at_the_time_limit(acting: ActingHub) -> None:
    acting.then(falls_silent)
    with UnifiedAIClient(acting.base, timeout=0.1) as client, pytest.raises(TimedOut, match="/v1/chat/completions"):
        client.chat_completion("hi", "tiny")


def test_a_hub_that_does_not_run_is_told_apart(acting: ActingHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with UnifiedAIClient(f"http://127.0.0.1:{port}") as client, pytest.raises(NotReached, match="is it running"):
        client.models()


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (400, {}, BadRequest),
        (409, {}, BadRequest),
        (413, {}, BadRequest),
        (422, {}, BadRequest),
        (401, {}, KeyRefused),
        (403, {}, KeyRefused),
        (404, {}, NotFound),
        (429, {"retry_after": "7"}, TooMany),
        (503, {}, ServiceFailed),
        (501, {"x_hub_state": "unavailable"}, ServiceFailed),
        (500, {}, ServiceFailed),
    ],
)
def test_each_refusal_is_of_its_kind(
    acting: ActingHub, client: UnifiedAIClient, status: int, headers: dict[str, str], kind: type[Refused]
) -> None:
    acting.then(says({"message": "no"}, status, **headers))
    with pytest.raises(kind, match=f"{status}: no") as refused:
        client.models()
    assert type(refused.value) is kind
    assert refused.value.status == status
    assert refused.value.retry_after == (7 if headers.get("retry_after") else None)
    assert isinstance(refused.value, HubError)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"detail": "k is too large", "field": "k", "value": "9"}', "k is too large"),
        (b'{"error": {"message": "of OpenAI"}}', "of OpenAI"),
        (b'{"error": "of Ollama"}', "of Ollama"),
        (b"<html>a proxy</html>", "<html>a proxy</html>"),
        (b"[1]", "[1]"),
        (b"", "no reason was given"),
        (b"x" * 1000, "…"),
    ],
)
def test_the_reason_is_found_whatever_form_it_has(body: bytes, told: str) -> None:
    assert told in str(calls.refusal(Answer(400, {}, body)))


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}", b'{"choices": []}', b'{"choices": [7]}', b"x" * 1000])
def test_an_answer_of_another_form_is_told_with_what_came(
    acting: ActingHub, client: UnifiedAIClient, body: bytes
) -> None:
    acting.then(says(body))
    with pytest.raises(BadReply, match="POST /api/ollama/v1/chat/completions"):
        client.chat_completion("hi", "tiny")


def test_a_health_that_is_no_object_is_told(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says([]))
    with pytest.raises(BadReply):
        client.health()


def test_the_key_and_the_wish_to_wait_are_sent_and_the_key_is_never_shown(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    with UnifiedAIClient(acting.base, "s3cret", wait=600) as client:
        client.chat_completion("hi", "tiny")
        assert repr(client) == f"UnifiedAIClient('{acting.base}', key='…')"
    assert acting.asked[0].headers["apikey"] == "s3cret"
    assert acting.asked[0].headers["x-hub-wait"] == "600"
    assert "s3cret" not in repr(AsyncUnifiedAIClient(acting.base, "s3cret"))
    assert repr(AsyncUnifiedAIClient(acting.base)) == f"AsyncUnifiedAIClient('{acting.base}')"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"base": "localhost:8000"}, "base"),
        ({"base": "http://x/?q=1"}, "base"),
        ({"timeout": 0}, "timeout"),
        ({"wait": -1}, "wait"),
        ({"connect_timeout": float("nan")}, "connect_timeout"),
        ({"retries": -1}, "retries"),
    ],
)
def test_a_wrong_option_is_told_at_once(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        UnifiedAIClient(**options)


def test_a_certificate_of_the_hubs_own_is_trusted_where_it_is_named_and_nowhere_else(tmp_path: Path) -> None:
    chain, key = certificate.ensure(tmp_path, "localhost", None)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(chain, key)
    with acting_hub(serving) as acting:
        acting.then(says(CHAT))
        with UnifiedAIClient(acting.base, ca_file=str(chain)) as client:
            assert client.chat_completion("hi", "tiny").text == "blue"
        with UnifiedAIClient(acting.base) as client, pytest.raises(NotReached, match="certificate"):
            client.chat_completion("hi", "tiny")


def test_certificates_that_are_not_there_are_told_at_once() -> None:
    with pytest.raises(OSError):
        UnifiedAIClient("https://localhost", ca_file="/nowhere/ca.pem")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_what_is_no_name_never_becomes_a_path(client: UnifiedAIClient, acting: ActingHub, name: str) -> None:
    with pytest.raises(ValueError, match="service has to be a name"):
        client.chat_completion("hi", "tiny", service=name)
    with pytest.raises(ValueError, match="chain_type has to be a name"):
        client.execute_chain("hi", name)
    assert acting.asked == []


async def test_the_waiting_client_works_within_a_running_loop(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says(CHAT))
    assert client.chat_completion("hi", "tiny").text == "blue"


def test_the_waiting_client_may_be_shared_by_threads(acting: ActingHub, client: UnifiedAIClient) -> None:
    acting.then(says(CHAT))
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(str(client.chat_completion("hi", "t")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["blue"] * 8


def test_a_closed_client_may_be_closed_again_and_opens_anew(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    client = UnifiedAIClient(acting.base)
    client.close()
    client.chat_completion("hi", "tiny")
    client.close()
    client.close()
    assert client.chat_completion("hi", "tiny").text == "blue"
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "aihub-client"]


async def test_every_call_of_the_awaiting_client_is_there_too(acting: ActingHub) -> None:
    acting.then(says(CHAT), says({"data": []}), streams('{"text": "a"}'))
    async with AsyncUnifiedAIClient(acting.base) as client:
        assert (await client.chat_completion("hi", "tiny")).text == "blue"
        assert await client.models() == []
        assert [piece async for piece in client.chain_stream("hi")] == ["a"]
        await client.close()
        await client.close()


async def hub_of_readme(request: web.Request) -> web.StreamResponse:
    """As much of a hub as the README's lines ask for."""
    hit = {"id": "a", "score": 0.9, "text": "The hub sleeps at night."}
    answers: dict[str, Any] = {
        "/api/ollama/v1/chat/completions": CHAT,
        "/api/api-adapter/vectors/upsert": {"ids": ["a"]},
        "/api/api-adapter/vectors/search": {"results": [hit]},
        "/api/langchain/chains/rag": {"output": "At night.", "sources": []},
    }
    if (await request.json()).get("stream"):
        return await streams(delta("once "), delta("upon"))(request)
    return web.json_response(answers[request.path])


def test_the_readmes_lines_run_as_they_are_written(acting: ActingHub, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert "UnifiedAIClient()" in block
    acting.then(hub_of_readme)
    exec(block.replace("UnifiedAIClient()", f"UnifiedAIClient({acting.base!r})"), {})
    assert capsys.readouterr().out == "blue\nonce upon0.9 The hub sleeps at night.\nAt night.\n"


def test_both_clients_have_the_same_calls_with_the_same_arguments() -> None:
    def public(kind: type) -> dict[str, Any]:
        return {name: value for name, value in vars(kind).items() if not name.startswith("_")}

    awaiting, waiting = public(AsyncUnifiedAIClient), public(UnifiedAIClient)
    assert awaiting.keys() == waiting.keys()
    for name in awaiting.keys() - {"close"}:
        assert inspect.signature(awaiting[name]) == inspect.signature(waiting[name]), name


def test_the_names_that_users_documents_fix_are_there() -> None:
    for name, first in (
        ("chat_completion", ["prompt", "model"]),
        ("execute_chain", ["prompt", "chain_type"]),
        ("vector_search", ["query", "collection", "k"]),
    ):
        parameters = [*inspect.signature(getattr(UnifiedAIClient, name)).parameters]
        assert parameters[1 : len(first) + 1] == first


def test_all_that_is_exported_exists_and_every_error_is_exported() -> None:
    exported = unified_ai_client.__all__
    assert all(hasattr(unified_ai_client, name) for name in exported)
    errors = {kind.__name__ for kind in (HubError, *_below(HubError))}
    assert errors <= set(exported)


def _below(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def test_the_client_imports_nothing_that_a_plain_installation_lacks() -> None:
    program = (
        "import sys\n"
        "for name in ('pydantic', 'yaml', 'click', 'grpclib', 'google.protobuf', 'httpx', 'ollama', 'chromadb',"
        " 'qdrant_client', 'prometheus_client', 'uv'):\n"
        "    sys.modules[name] = None\n"
        "import services.api_adapter.unified_ai_client\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
