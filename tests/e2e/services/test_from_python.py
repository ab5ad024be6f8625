"""Chat, chain and vectors through a whole hub, from asleep: the client asks the gateway, and that wakes what it takes.

Everything is real but the model, whose words are noise: Ollama, Chroma from PyPI, the adapter and the chains from their
locks, Envoy between all of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.api_adapter.unified_ai_client import NotFound, UnifiedAIClient
from tests.support.hub import ASLEEP, Hub
from tests.support.ollama import NoOllama, kept
from tests.support.real_services import hub_of, local_services

pytestmark = [pytest.mark.envoy, pytest.mark.network, pytest.mark.process, pytest.mark.timeout(600)]

NEEDED = ("ollama", "chroma", "api-adapter", "langchain")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    try:
        program = kept()
    except NoOllama as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("hub")
    services = {name: service for name, service in local_services().items() if name in NEEDED}
    speaks = services["api-adapter"]["environment"]["AIHUB_MODEL_SERVICES"].split()
    services["api-adapter"]["environment"]["AIHUB_MODEL_SERVICES"] = speaks[0]
    _with_models_of(services["ollama"], program / "models")
    for service in services.values():
        # What a start has taken would keep each of them awake for a minute.
        service["x-hub"]["busy"] = {"cpu": 0}
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{program / 'bin'}{os.pathsep}{before}"
    try:
        dotenv = {"AIHUB_EMBEDDING_MODEL": "tiny", "AIHUB_CHAT_MODEL": "tiny"}
        with hub_of(folder, services, dotenv) as running:
            yield running
    finally:
        os.environ["PATH"] = before


def _with_models_of(ollama: dict[str, object], models: Path) -> None:
    hub = ollama["x-hub"]
    assert isinstance(hub, dict)
    hub["local"]["environment"]["OLLAMA_MODELS"] = str(models)
    hub["scaling"] = {}


@pytest.fixture
def client(hub: Hub) -> Iterator[UnifiedAIClient]:
    with UnifiedAIClient(f"http://localhost:{hub.port}", wait=300) as client:
        yield client


def states(hub: Hub) -> dict[str, str]:
    return {name: state for name, state in hub.states().items() if name in NEEDED}


async def stopped(hub: Hub, *names: str) -> None:
    """Each at rest, as soon as the hub has seen that nobody uses it any more."""
    for name in names:
        async with asyncio.timeout(30):
            while states(hub)[name] != "stopped":
                await asyncio.to_thread(hub.cli, "sleep", name, "--to", "stopped")
                await asyncio.sleep(0.1)


def test_looking_wakes_the_adapter_and_none_that_it_looks_at(hub: Hub, client: UnifiedAIClient) -> None:
    assert set(states(hub).values()) <= ASLEEP
    assert client.models() == []
    assert states(hub)["ollama"] in ASLEEP
    assert states(hub)["api-adapter"] == "ready"
    assert client.health("ollama")["state"] in ASLEEP


def test_a_chat_wakes_the_model_alone(hub: Hub, client: UnifiedAIClient) -> None:
    answer = client.chat_completion("hello", model="tiny", max_tokens=4)
    assert answer.tokens["completion_tokens"] <= 4
    assert states(hub)["ollama"] == "ready"
    assert states(hub)["langchain"] in ASLEEP
    assert "".join(client.chat_stream("hello", model="tiny", max_tokens=4, temperature=0)) == str(
        client.chat_completion("hello", model="tiny", max_tokens=4, temperature=0)
    )
    assert [(model.id, model.state) for model in client.models()] == [("tiny:latest", "ready")]


async def test_models_are_known_while_their_service_sleeps_and_looking_leaves_it_asleep(
    hub: Hub, client: UnifiedAIClient
) -> None:
    client.chat_completion("hello", model="tiny", max_tokens=1)
    await stopped(hub, "ollama")
    assert [(model.id, model.state) for model in client.models()] == [("tiny:latest", "asleep")]
    assert states(hub)["ollama"] == "stopped"


async def test_vectors_wake_database_and_model_and_are_found(hub: Hub, client: UnifiedAIClient) -> None:
    await stopped(hub, "chroma", "ollama")
    client.vector_upsert(["the hub sleeps at night", {"id": "other", "text": "x"}], "notes")
    (hit,) = client.vector_search("the hub sleeps at night", "notes", k=1)
    assert hit.text == "the hub sleeps at night"
    assert hit.score == pytest.approx(1.0, abs=1e-3)
    assert states(hub)["chroma"] == states(hub)["ollama"] == "ready"


async def test_a_chain_wakes_all_that_it_stands_on(hub: Hub, client: UnifiedAIClient) -> None:
    client.vector_upsert(["the hub sleeps at night"], "notes")
    await stopped(hub, *NEEDED)
    result = client.execute_chain("the hub sleeps at night", "rag", collection="notes", max_tokens=4)
    assert result.details["sources"][0]["text"] == "the hub sleeps at night"
    assert set(states(hub).values()) == {"ready"}
    assert client.execute_chain("hello", max_tokens=4).chain == "simple"
    with pytest.raises(NotFound, match="ollama pull nope"):
        client.execute_chain("hello", model="nope")


def test_chains_can_be_asked_for_without_the_client(hub: Hub) -> None:
    status, _, body = hub.ask("/api/langchain/healthz", headers={"X-Hub-Wait": "300"}, limit=300)
    assert (status, body) == (200, b'{"status": "ok"}')
