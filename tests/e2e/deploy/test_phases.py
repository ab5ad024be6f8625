"""The fleet comes up by phase, each phase again and again, and goes down without leaving anything but data."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request

import pytest

from services.api_adapter.unified_ai_client import UnifiedAIClient
from services.deploy.credentials import read
from tests.support.checkout import Checkout

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]

INFRA = {"consul", "docker-proxy", "kong", "rabbitmq", "redis", "scaler"}
KEPT = {"chroma", "ollama", "n8n", "qdrant"}
MONITOR = {"alertmanager", "cadvisor", "grafana", "hub-metrics", "jaeger", "node-exporter", "prometheus"}
GATEWAY = "http://127.0.0.1:8000"


def test_the_fleet_comes_up_by_phase_and_goes_down_leaving_its_data(checkout: Checkout) -> None:
    said = checkout.up("--env", "dev", "--phase", "infra")
    assert _services(checkout) == INFRA
    assert _titles(said) == ["gateway", "Kong admin", "Consul", "RabbitMQ"]
    env = checkout.root / ".env"
    assert env.stat().st_mode & 0o777 == 0o600
    credentials, before = read(env), _started(checkout)
    assert credentials["HUB_RABBITMQ_PASSWORD"] not in said

    assert _get("/api/health") == 200
    assert _get("/api/hello/") == 200, "the first request, through the gateway in front and the one inside"
    assert _get("/api/chroma/api/v2/heartbeat") == 200
    assert _services(checkout) == {*INFRA, "hello", "chroma"}

    states = _states()
    assert {states[name] for name in ("n8n", "qdrant")} == {"stopped"}, "of a later phase, not failed"

    checkout.up("--env", "dev", "--phase", "infra")
    assert read(env) == credentials
    assert {name: at for name, at in _started(checkout).items() if name in before} == before, "nothing was made anew"

    checkout.up("--env", "dev", "--phase", "ai")
    assert {*INFRA, *KEPT} <= _services(checkout)
    assert _get("/api/qdrant/") == 200
    _copy_and_restore(checkout)
    _use_from_python()

    said = checkout.up("--env", "dev", "--phase", "monitor")
    assert {*INFRA, *KEPT, *MONITOR} <= _services(checkout)
    assert _titles(said)[4:] == ["Grafana", "Prometheus", "Jaeger"]
    _prometheus_reaches_all_but_the_containers()

    before = _started(checkout)
    config = checkout.root / "monitoring" / "prometheus" / "prometheus.yml"
    config.write_text(f"{config.read_text()}# changed\n")
    checkout.up("--env", "dev", "--phase", "all")
    after = _started(checkout)
    assert {name for name in MONITOR if after[name] != before[name]} == {"prometheus"}, "it reads the changed file"
    assert all(after[name] == before[name] for name in {*INFRA, *KEPT})
    assert "gateway" in checkout.deploy("--status").stdout

    _down(checkout)
    _down(checkout)
    assert env.exists()
    assert f"{checkout.project}_chroma-data" in checkout.volumes()
    _without_its_credentials(checkout)
    assert checkout.deploy("--down", "--volumes").returncode == 0
    assert checkout.volumes() == []
    assert env.exists()


def test_a_hub_that_was_killed_is_brought_down_all_the_same(checkout: Checkout) -> None:
    checkout.up("--env", "dev", "--phase", "infra")
    assert checkout.of_hub()
    subprocess.run(
        ["docker", "update", "--restart=no", f"{checkout.project}-scaler-1"], check=True, capture_output=True
    )
    subprocess.run(["docker", "kill", f"{checkout.project}-scaler-1"], check=True, capture_output=True)
    _down(checkout)


def test_a_port_that_is_taken_is_told_with_its_holder_before_anything_starts(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 8500)):
        done = checkout.deploy("--env", "dev", "--phase", "infra", "--project-name", checkout.project)
    assert done.returncode == 4, done.stdout
    assert f"127.0.0.1:8500, which consul wants, is taken by pid {os.getpid()}" in done.stdout
    assert checkout.containers() == []
    assert not (checkout.root / ".env").exists()


def test_a_dry_run_looks_and_changes_nothing(checkout: Checkout) -> None:
    done = checkout.deploy("--env", "dev", "--dry-run", "--project-name", checkout.project)
    assert done.returncode == 0, done.stdout
    assert "would bring up infra: consul, docker-proxy, kong, rabbitmq, redis, scaler" in done.stdout
    assert "would bring up ai: n8n, qdrant" in done.stdout
    assert checkout.containers() == []
    assert not (checkout.root / ".env").exists()
    assert not checkout.data.exists()


def _prometheus_reaches_all_but_the_containers() -> None:
    """Those are told by a stand-in here. What is on demand sleeps, and is well."""
    end, seen = time.monotonic() + 60, {}
    while not seen or "unknown" in seen.values():
        assert time.monotonic() < end, seen
        with urllib.request.urlopen("http://127.0.0.1:9090/api/v1/targets", timeout=10) as answer:
            found = json.load(answer)["data"]["activeTargets"]
        seen = {(one["labels"]["job"], one["labels"]["instance"]): one["health"] for one in found}
        time.sleep(0.5)
    assert seen[("on-demand", "api-adapter")] == seen[("on-demand", "langchain")] == "up"
    assert seen[("scaler", "hub-metrics:9901")] == seen[("envoy", "hub-metrics:9901")] == "up"


def _without_its_credentials(checkout: Checkout) -> None:
    """Who has lost `.env` is told before new ones are drawn, with which the data could not be read."""
    env = checkout.root / ".env"
    kept = env.rename(checkout.root / "kept.env")
    said = checkout.deploy("--env", "dev", "--dry-run", "--project-name", checkout.project)
    assert said.returncode == 0, said.stdout
    assert "note  credentials: none here yet, but" in said.stdout
    kept.rename(env)


def _copy_and_restore(checkout: Checkout) -> None:
    """What Chroma knows, and a volume of what compose runs, come back as they were: all through the filter that stands
    before the engine."""
    collections = "/api/chroma/api/v2/tenants/default_tenant/databases/default_database/collections"
    _post(collections, {"name": "first"})
    qdrant = ["docker", "exec", "--user=0", f"{checkout.project}-qdrant-1", "sh", "-c"]
    subprocess.run([*qdrant, "echo first > /qdrant/storage/a"], check=True)
    done = checkout.aihub("backup", "chroma", "qdrant")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("frozen") == 2, "both are always on"
    _post(collections, {"name": "second"})
    subprocess.run([*qdrant, "echo second > /qdrant/storage/a; touch /qdrant/storage/b"], check=True)
    for name in ("chroma", "qdrant"):
        done = checkout.aihub("restore", name, "--from", str(checkout.data / "backups"), "--yes")
        assert done.returncode == 0, done.stderr
    with urllib.request.urlopen(f"{GATEWAY}{collections}", timeout=60) as answer:
        assert [one["name"] for one in json.load(answer)] == ["first"]
    seen = subprocess.run([*qdrant, "cat /qdrant/storage/*"], check=True, capture_output=True, text=True).stdout
    assert seen == "first\n"


def _use_from_python() -> None:
    """Chat, vectors and a chain by the client, through both gateways, which wakes adapter and chains in their own
    containers."""
    with UnifiedAIClient(GATEWAY) as hub:
        assert hub.chat_completion("hello", model="tiny", max_tokens=2).tokens["completion_tokens"] <= 2
        assert "tiny:latest" in {model.id for model in hub.models()}
        hub.vector_upsert(["the hub sleeps at night"], "notes", model="tiny")
        (hit,) = hub.vector_search("the hub sleeps at night", "notes", k=1)
        assert hit.text == "the hub sleeps at night"
        told = hub.execute_chain("the hub sleeps at night", "rag", collection="notes", model="tiny", max_tokens=2)
        assert [source["text"] for source in told.details["sources"]] == [hit.text]


def _down(checkout: Checkout) -> None:
    done = checkout.deploy("--down")
    assert done.returncode == 0, done.stdout
    assert checkout.containers() == []
    assert checkout.networks() == []
    assert checkout.of_hub() == []


def _states() -> dict[str, str]:
    with urllib.request.urlopen(f"{GATEWAY}/api/health", timeout=30) as answer:
        return dict(json.load(answer)["services"])


def _get(path: str) -> int:
    with urllib.request.urlopen(f"{GATEWAY}{path}", timeout=60) as answer:
        return int(answer.status)


def _post(path: str, body: object) -> None:
    request = urllib.request.Request(
        f"{GATEWAY}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status < 300


def _titles(said: str) -> list[str]:
    """First column of the access table."""
    _, _, table = said.partition("WHAT ")
    return [row.partition("  ")[0] for row in table.splitlines()[1:] if "http" in row and not row.startswith(" ")]


def _services(checkout: Checkout) -> set[str]:
    """Those with a container that runs."""
    return {name for name, (state, _) in _seen(checkout).items() if state in ("running", "paused")}


def _started(checkout: Checkout) -> dict[str, str]:
    return {name: at for name, (_, at) in _seen(checkout).items()}


def _seen(checkout: Checkout) -> dict[str, tuple[str, str]]:
    names = checkout.containers()
    if not names:
        return {}
    done = subprocess.run(["docker", "inspect", *names], check=True, capture_output=True, text=True)
    return {
        one["Config"]["Labels"]["com.docker.compose.service"]: (one["State"]["Status"], one["State"]["StartedAt"])
        for one in json.loads(done.stdout)
    }
