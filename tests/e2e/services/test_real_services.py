"""Programs that others wrote, from their registries, woken and used through the hub."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.hub import Hub

pytestmark = [pytest.mark.network, pytest.mark.process, pytest.mark.envoy, pytest.mark.timeout(300)]

INSTALLATION = 240.0
COLLECTIONS = "/api/chroma/api/v2/tenants/default_tenant/databases/default_database/collections"


def asked(hub: Hub, path: str, content: Any = None, limit: float = INSTALLATION) -> Any:
    """The JSON of a 200 or 201; a POST where there is content."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(hub.base + path, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=limit) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{path}: {error.code} {error.read()[:2000]!r}\n{hub.said()}") from error


async def put_to_sleep(hub: Hub, name: str, state: str) -> None:
    told = hub.cli("sleep", name, "--to", state)
    assert told.returncode == 0, told.stderr
    await hub.until(name, state)


def test_hello_answers_in_less_than_a_second_from_nothing(hub: Hub) -> None:
    assert asked(hub, "/api/hello/", limit=1.0)["hello"] == "world"


async def test_chroma_is_installed_and_started_by_the_request_that_it_answers(hub: Hub) -> None:
    assert hub.state("chroma") == "stopped"
    assert "nanosecond heartbeat" in asked(hub, "/api/chroma/api/v2/heartbeat")


async def test_what_chroma_holds_is_still_there_after_it_was_stopped(hub: Hub) -> None:
    name = asked(hub, COLLECTIONS, {"name": "kept", "get_or_create": True})["id"]
    asked(hub, f"{COLLECTIONS}/{name}/add", {"ids": ["a"], "embeddings": [[1.0, 2.0, 3.0]], "documents": ["kept"]})
    await put_to_sleep(hub, "chroma", "stopped")
    found = asked(hub, f"{COLLECTIONS}/{name}/query", {"query_embeddings": [[1.0, 2.0, 3.0]], "n_results": 1})
    assert found["documents"] == [["kept"]]


async def test_mcpo_calls_the_tool_behind_it_when_it_was_stopped_and_when_it_was_paused(hub: Hub) -> None:
    for state in ("", "stopped", "paused"):
        if state:
            await put_to_sleep(hub, "mcpo", state)
        answer = asked(hub, "/api/mcpo/get_current_time", {"timezone": "Europe/Berlin"})
        assert answer["timezone"] == "Europe/Berlin"


def test_datasette_keeps_its_links_below_its_own_origin(hub: Hub) -> None:
    headers = {"Host": f"datasette.localhost:{hub.port}"}
    status, _, page = hub.ask("/", headers=headers, limit=INSTALLATION)
    assert (status, b"<title>Datasette" in page) == (200, True)
    assert asked(hub, "/api/datasette/-/versions.json")["datasette"]["version"] == "0.65.5"


def test_llama_completes_a_chat_on_the_file_that_the_user_named(hub: Hub, tiny_model: Path) -> None:
    question = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    answer = asked(hub, "/api/llama/v1/chat/completions", question)
    assert answer["usage"]["completion_tokens"] == 4
    assert answer["model"] == tiny_model.stem


@pytest.mark.browser
async def test_a_browser_sees_the_waiting_page_and_then_marimo_without_doing_anything(
    hub: Hub, window: Browser, tmp_path: Path
) -> None:
    assert hub.state("marimo") == "stopped"
    window.open(f"http://marimo.localhost:{hub.port}/")
    waiting = window.text()
    window.screenshot(tmp_path / "waiting.png")
    assert "marimo" in waiting.lower()
    assert hub.state("marimo") != "ready"
    window.until("return document.querySelector('marimo-filename, #root > *') !== null", INSTALLATION)
    window.until("return document.body.innerText.includes('notebook')", 60)
    window.screenshot(tmp_path / "marimo.png")
    assert hub.state("marimo") == "ready"
