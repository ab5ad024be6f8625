"""Every stand-in that is real software starts from its image alone, as the catalogue would start it, and answers."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.support.images.build import build_all, wanted
from tests.support.images.recipes import CHECKOUT, HUB, PREFIX, recipes

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.timeout(900)]
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    image: str
    port: int
    path: str
    command: Sequence[str] = ()
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    # What SIGTERM ends it with: some programs have no handler, and consul's development mode says 1.
    leaves_with: int = 0


_ANY = ["--host", "0.0.0.0", "--port"]
_LITELLM = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
CASES = [
    Case("rabbitmq", 15672, "/"),
    Case("consul", 8500, "/v1/status/leader", leaves_with=1),
    Case("prometheus", 9090, "/-/ready"),
    Case("alertmanager", 9093, "/-/ready"),
    Case("node-exporter", 9100, "/metrics", leaves_with=2),
    Case("nginx", 80, "/"),
    Case("chroma", 8000, "/api/v2/heartbeat"),
    Case("ollama", 11434, "/api/tags"),
    Case("llama", 8080, "/health"),
    Case("mlflow", 5000, "/health", ["mlflow", "server", *_ANY, "5000", "--workers", "1"]),
    Case(
        "litellm",
        4000,
        "/health/liveliness",
        ["--config", "/app/config.yaml", "--port", "4000"],
        ["--volume", f"{CHECKOUT}/catalog/litellm.yaml:/app/config.yaml:ro"],
        _LITELLM,
    ),
    Case("jupyter", 8888, "/api"),
    Case("marimo", 8080, "/health"),
    Case("tensorboard", 6006, "/data/environment", ["tensorboard", "--bind_all", "--port", "6006", "--logdir", "/tmp"]),
    Case(
        "optuna",
        8080,
        "/api/meta",
        [*_ANY, "8080", "--storage-class", "JournalFileStorage", "/data/j"],
        ["--init"],
        leaves_with=143,
    ),
    Case("mcpo", 8000, "/openapi.json", ["uvx", "mcp-server-time", "--local-timezone", "UTC"]),
    Case("datasette", 8001, "/-/versions.json", ["datasette", *_ANY, "8001", "--create", "/tmp/data.db"]),
    Case("api-adapter", 8000, "/healthz", options=["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"]),
    Case("langchain", 8000, "/chains", options=["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"]),
    Case("web", 8080, "/health"),
    Case("placeholder", 6333, "/", environment={"PORTS": "6333,6334"}),
]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    known = recipes()
    build_all(wanted(known, known))


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


@contextmanager
def container(image: str, *words: str, options: Sequence[str] = ()) -> Iterator[str]:
    name = f"aihub-stand-in-{uuid.uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, *options, f"{PREFIX}{image}", *words)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def answer(name: str, port: int, path: str) -> bytes:
    """The body of the first 200. Fails with the container's own words where none comes."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = docker("inspect", "--format", form, name)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(address, port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            if response.status == 200:
                return body
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    words = subprocess.run(["docker", "logs", "--tail", "20", name], capture_output=True, text=True)
    raise AssertionError(f"{name} does not answer:\n{words.stdout}{words.stderr}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.image)
def test_it_answers_and_ends_when_asked(case: Case) -> None:
    variables = [word for key, value in case.environment.items() for word in ("--env", f"{key}={value}")]
    with container(case.image, *case.command, options=[*case.options, *variables]) as name:
        answer(name, case.port, case.path)
        docker("stop", "--time", "20", name)
        assert int(docker("inspect", "--format", "{{.State.ExitCode}}", name)) == case.leaves_with


@pytest.mark.parametrize("image", ["api-adapter", "langchain"])
def test_an_image_of_our_own_is_healthy_by_its_own_check_and_runs_as_nobody_special(image: str) -> None:
    with container(image, options=["--health-interval=1s"]) as name:
        answer(name, 8000, "/healthz")
        end = time.monotonic() + _PATIENCE
        while docker("inspect", "--format", "{{.State.Health.Status}}", name) != "healthy":
            assert time.monotonic() < end
            time.sleep(0.1)
        assert docker("exec", name, "id", "-u") == "1000"


def test_redis_keeps_what_it_is_told() -> None:
    with container("redis") as name:
        assert docker("exec", name, "redis-cli", "set", "key", "value") == "OK"
        assert docker("exec", name, "redis-cli", "get", "key") == "value"


def test_postgres_makes_user_and_database_and_keeps_them() -> None:
    options = [f"--env=POSTGRES_{key}=hub" for key in ("USER", "PASSWORD", "DB")]
    ready = "until pg_isready -q -U hub -h 127.0.0.1; do sleep 0.05; done"
    ask = "PGPASSWORD=hub psql -h 127.0.0.1 -U hub -tA -c"
    with container("postgres", options=options) as name:
        docker("exec", name, "sh", "-c", f"{ready}; {ask} 'create table kept as select 42 as answer'")
        docker("restart", name)
        assert docker("exec", name, "sh", "-c", f"{ready}; {ask} 'select answer from kept'") == "42"


def test_ollama_has_a_model_that_speaks_without_sense() -> None:
    with container("ollama") as name:
        assert b"tiny:latest" in answer(name, 11434, "/api/tags")
        said = docker("exec", name, "ollama", "run", "tiny", "hello", "--format", "json")
        assert isinstance(said, str)


def test_the_filter_lets_through_what_is_named_and_nothing_else() -> None:
    socket = "--volume=/var/run/docker.sock:/var/run/docker.sock"
    with container("docker-proxy", "-allowGET=/_ping|/version", "-proxyport=2375", options=[socket]) as name:
        assert json.loads(answer(name, 2375, "/version"))["ApiVersion"]
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        connection = http.client.HTTPConnection(docker("inspect", "--format", form, name), 2375, timeout=5)
        for method, path in (("GET", "/containers/json"), ("POST", "/_ping"), ("GET", "/version/../info")):
            connection.request(method, path)
            response = connection.getresponse()
            response.read()
            assert response.status == 403, path
        connection.close()


def test_our_own_image_is_small_and_has_no_rights() -> None:
    image = json.loads(docker("image", "inspect", HUB))[0]
    assert image["Size"] < 300_000_000
    assert image["Config"]["User"] == "hub"
    programs = "aihub --version && envoy --version && docker compose version"
    said = docker("run", "--rm", "--entrypoint", "sh", HUB, "-c", programs)
    assert "1.40" in said


def test_our_own_image_becomes_healthy_and_leaves_in_order(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("project")
    (folder / "compose.yml").write_text("services: {a: {image: x, profiles: [on-demand], expose: ['80']}}\n")
    for one in (folder, *folder.parents[:2]):
        one.chmod(0o755)
    name = f"aihub-stand-in-{uuid.uuid4().hex[:8]}"
    mount = f"{folder}:/srv/aihub:ro"
    words = ["up", "--catalog", "compose.yml"]
    docker("run", "--detach", "--name", name, "--health-interval=1s", "--volume", mount, HUB, *words)
    try:
        end = time.monotonic() + _PATIENCE
        while docker("inspect", "--format", "{{.State.Health.Status}}", name) != "healthy":
            assert time.monotonic() < end, docker("logs", name)
            time.sleep(0.1)
        docker("stop", name)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    finally:
        docker("rm", "--force", "--volumes", name)
