"""Where the engine is looked for: DOCKER_HOST, then the docker client's context, each named when nothing answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from services.scaler.drivers.docker.engine import Engine, EngineAway


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def context(home: Path, name: str, host: str) -> None:
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


async def refusal() -> str:
    engine = Engine(patience=0.0)
    with pytest.raises(EngineAway) as told:
        await engine.connect()
    return str(told.value)


async def test_the_clients_current_context_is_honoured(home: Path) -> None:
    context(home, "box", "tcp://127.0.0.1:9")
    (home / ".docker" / "config.json").write_text('{"currentContext": "box"}')
    assert "no Docker Engine answers at tcp://127.0.0.1:9" in await refusal()


async def test_docker_host_goes_before_any_context(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(home, "box", "tcp://127.0.0.1:9")
    (home / ".docker" / "config.json").write_text('{"currentContext": "box"}')
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/engine.sock")
    assert f"no Docker Engine answers at unix://{home}/engine.sock" in await refusal()


async def test_a_context_that_does_not_exist_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    said = await refusal()
    assert "nowhere does not lead to a Docker Engine" in said
    assert "`docker context ls`" in said
