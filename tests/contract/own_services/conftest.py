"""Real programs for the services of our own: Ollama with a model of noise, Chroma, the adapter, the chains."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.ollama import NoOllama, kept
from tests.support.own_services import closed_port, own, running
from tests.support.ports import free_port
from tests.support.service_env import programs


@pytest.fixture(scope="session")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        folder = kept()
    except NoOllama as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    port = free_port()
    environment = {"OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": str(folder / "models")}
    words = [folder / "bin" / "ollama", "serve"]
    with running(words, port, tmp_path_factory.mktemp("ollama"), environment, "/api/version") as base:
        yield base


@pytest.fixture(scope="session")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, folder = free_port(), tmp_path_factory.mktemp("chroma")
    words = [programs("chroma") / "chroma", "run", "--host", "127.0.0.1", "--port", port, "--path", folder / "data"]
    with running(words, port, folder, {}, "/api/v2/heartbeat") as base:
        yield base


@pytest.fixture(scope="session")
def adapter(ollama: str, chroma: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = {
        "OLLAMA_BASE": ollama,
        "CHROMA_BASE": chroma,
        "QDRANT_BASE": f"http://127.0.0.1:{closed_port()}",
        "AIHUB_EMBEDDING_MODEL": "tiny",
        "AIHUB_MODEL_SERVICES": f"ollama={ollama}/v1 llama=http://127.0.0.1:{closed_port()}/v1#llama",
    }
    with own("api_adapter", environment, tmp_path_factory.mktemp("adapter")) as base:
        yield base


@pytest.fixture(scope="session")
def chains(ollama: str, adapter: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = {"OLLAMA_BASE": ollama, "ADAPTER_BASE": adapter, "AIHUB_CHAT_MODEL": "tiny"}
    with own("langchain", environment, tmp_path_factory.mktemp("chains")) as base:
        yield base
