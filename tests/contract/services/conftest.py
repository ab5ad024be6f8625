"""Real programs for the services of our own: Ollama with a model of noise, Chroma, the adapter, the chains."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ollama import NoOllama, kept
from tests.support.ports import free_port
from tests.support.service_env import ROOT, programs

_READY_WITHIN = 60.0
RUN = ROOT / "services" / "web_service" / "run.py"


@contextmanager
def running(
    words: Sequence[object], port: int, folder: Path, environment: Mapping[str, str], ready: str
) -> Iterator[str]:
    """The address of a program that has answered; it gets SIGTERM afterwards and has to end by it, with 0."""
    log = folder / f"{port}.log"
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    with log.open("wb") as output:
        process = subprocess.Popen([str(word) for word in words], stdout=output, stderr=output, env=plain, cwd=folder)
    base = f"http://127.0.0.1:{port}"
    try:
        until_answered(base + ready, process, log)
        yield base
    finally:
        process.terminate()
        try:
            code = process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 0 or "run.py" not in str(words), f"ended with {code}: {log.read_text()[-2000:]}"


def until_answered(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _READY_WITHIN
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.02)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


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


@contextmanager
def own(package: str, environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """A service of our own, as the catalogue runs it without Docker."""
    port, service = free_port(), package.replace("_", "-")
    words = [programs(service) / "python", "-W", "error::SyntaxWarning", RUN, f"services.{package}", "--port", port]
    with running(words, port, folder, environment, "/healthz") as base:
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
