"""A service of the deployed fleet sleeps and wakes: seen through the gateway, on the engine and in Consul."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.checkout import OVERRIDE, Checkout

T = TypeVar("T")

pytestmark = [pytest.mark.docker, pytest.mark.timeout(500)]

GATEWAY, CONSUL = "http://127.0.0.1:8000", "http://127.0.0.1:8500"
OWN_PORT = "http://127.0.0.1:8113"
COLLECTIONS = "/api/chroma/api/v2/tenants/default_tenant/databases/default_database/collections"
RESTING = """
services:
  chroma:
    x-hub: {scaling: {min_replicas: 0, idle_timeout: 3s, stop_after: 8s}}
  qdrant:
    profiles: [on-demand]
    x-hub: {scaling: {idle_timeout: 3s, stop_after: 4s}}
"""


def test_a_request_through_the_gateway_wakes_a_stopped_container_and_consul_follows(checkout: Checkout) -> None:
    words = overrides(checkout)
    checkout.up("--env", "dev", "--phase", "infra", *words)
    checkout.up("--env", "dev", "--phase", "ai", *words)
    assert state(checkout, "chroma") is None, "nobody has asked for it"
    assert checkout.aihub("pull", "chroma").returncode == 0
    assert state(checkout, "chroma") == "created"
    assert instances("chroma") == []

    assert ask("GET", "/api/chroma/api/v2/heartbeat")[0] == 200
    ask("POST", COLLECTIONS, {"name": "kept"})
    for _ in range(2):
        # Awake: found at the gateway's address, its own port, which Envoy has and not the container.
        assert state(checkout, "chroma") == "running"
        [found] = until(lambda: instances("chroma"))
        assert (found["Service"]["Address"], found["Service"]["Port"]) == ("127.0.0.1", 8110)
        assert {check["Status"] for check in found["Checks"]} == {"passing"}
        until(lambda: said_of("chroma") == "ready")

        until(lambda: state(checkout, "chroma") == "paused")
        until(lambda: said_of("chroma") == "paused")
        assert instances("chroma") == []
        assert state(checkout, "chroma") == "paused", "Consul was not late"

        until(partial(is_stopped, checkout, "chroma"))
        assert instances("chroma") == []

        status, said = ask("GET", COLLECTIONS)
        assert (status, [one["name"] for one in said]) == (200, ["kept"])


def test_what_was_always_on_rests_once_an_override_says_so_and_keeps_its_data(checkout: Checkout) -> None:
    for phase in ("infra", "ai"):
        checkout.up("--env", "dev", "--phase", phase)
    ask("POST", COLLECTIONS, {"name": "kept"})
    mark = ["docker", "exec", "--user=0", f"{checkout.project}-qdrant-1", "touch", "/qdrant/storage/kept"]
    subprocess.run(mark, check=True)

    checkout.up("--env", "dev", "--phase", "ai", *overrides(checkout))
    for name in ("qdrant", "chroma"):
        until(partial(is_stopped, checkout, name))
    assert [one["name"] for one in ask("GET", COLLECTIONS)[1]] == ["kept"]
    assert ask("GET", "/api/qdrant/")[0] == 200
    seen = ["docker", "exec", f"{checkout.project}-qdrant-1", "ls", "/qdrant/storage"]
    assert "kept" in subprocess.run(seen, check=True, capture_output=True, text=True).stdout.split()
    until(partial(answers, OWN_PORT), 10.0)  # its own port is the gateway's once that has looked again

    # And back: what the file says without the override is meant again.
    checkout.up("--env", "dev", "--phase", "ai", "--override", str(checkout.root / OVERRIDE.name))
    assert state(checkout, "qdrant") == "running"
    assert ask("GET", "/api/qdrant/")[0] == 200
    assert ask("GET", "/", at=OWN_PORT)[0] == 200
    ports = ["docker", "port", f"{checkout.project}-qdrant-1", "6333/tcp"]
    assert subprocess.run(ports, check=True, capture_output=True, text=True).stdout.strip() == "127.0.0.1:8113"


def overrides(checkout: Checkout) -> list[str]:
    file = checkout.root / "resting.yml"
    file.write_text(RESTING)
    return ["--override", str(checkout.root / OVERRIDE.name), "--override", str(file)]


def state(checkout: Checkout, service: str) -> str | None:
    """Of its container; None where there is none."""
    labels = [f"label=com.docker.compose.project={checkout.project}", f"label=com.docker.compose.service={service}"]
    words = ["docker", "ps", "--all", "--format", "{{.State}}", *(word for one in labels for word in ("--filter", one))]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip() or None


def is_stopped(checkout: Checkout, service: str) -> bool:
    return state(checkout, service) == "exited" and said_of(service) == "stopped"


def ask(method: str, path: str, body: object = None, at: str = GATEWAY) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{at}{path}", data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in (b"[", b"{") else text


def answers(base: str) -> bool:
    try:
        return ask("GET", "/", at=base)[0] == 200
    except urllib.error.URLError:
        return False


def instances(service: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{CONSUL}/v1/health/service/{service}", timeout=10) as answer:
        return list(json.load(answer))


def said_of(service: str) -> str | None:
    """The state that stands among Consul's keys."""
    with urllib.request.urlopen(f"{CONSUL}/v1/kv/aihub/?keys", timeout=10) as answer:
        key = next((Path(one) for one in json.load(answer) if Path(one).name == service), None)
    if key is None:
        return None
    with urllib.request.urlopen(f"{CONSUL}/v1/kv/{key}?raw", timeout=10) as answer:
        return str(json.load(answer)["state"])


def until(ask: Callable[[], T], patience: float = 60.0) -> T:
    """What it gives once that is something."""
    end = time.monotonic() + patience
    while not (found := ask()):
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.1)
    return found
