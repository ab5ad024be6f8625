from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, browser
from tests.support.hub import Hub
from tests.support.real_services import hub_of, local_services

LIGHT = ("hello", "chroma", "mcpo", "datasette", "marimo", "llama")
_MAKES_MODELS = ("--with", "gguf==0.19.0", "--with", "numpy==2.4.6")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of random weights, made in a throw-away environment."""
    file = tmp_path_factory.mktemp("model") / "tiny.gguf"
    uv = Path(sys.executable).with_name("uv")
    program = Path(__file__).parents[2] / "support" / "tiny_gguf.py"
    words = [uv, "run", "--quiet", "--isolated", "--no-project", "--python", sys.executable, *_MAKES_MODELS]
    subprocess.run([*words, "python", program, file], check=True, timeout=100)
    return file


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Hub]:
    """One hub for all of these tests, with a few light services that others wrote."""
    services = {name: service for name, service in local_services().items() if name in LIGHT}
    with hub_of(tmp_path_factory.mktemp("hub"), services, {"AIHUB_LLAMA_MODEL": str(tiny_model)}) as running:
        yield running


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as opened:
        yield opened
