"""A compose project that knows nothing of the hub, made lazy by one command, and left again."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import DockerHub, Project, docker, eventually, fetch, in_states, prune_volumes
from tests.support.hub import AIHUB, ASLEEP
from tests.support.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

FILE = """\
# The shop, as its owner wrote it.
name: {name}

x-logging: &logging   # every service
  logging: {{driver: json-file, options: {{max-size: 1m}}}}

services:
  web:
    <<: *logging
    image: aihub-test/web
    restart: unless-stopped
    ports:
      - "127.0.0.1:{port}:8080"
    environment:
      NAME: web
      API_URL: http://api:8080
    depends_on:
      api: {{condition: service_healthy}}
      cache: {{condition: service_started}}
    volumes:
      - uploads:/data
  api:
    <<: *logging
    image: aihub-test/web
    init: true
    restart: unless-stopped
    expose: ["8080"]
    environment: [NAME=api, "DATABASE_URL=postgres://app:secret@db:5432/app"]
    healthcheck: {{test: [CMD, python3, /web.py, --probe], interval: 1s}}
    depends_on:
      db: {{condition: service_healthy}}
  db:
    <<: *logging
    image: aihub-test/postgres
    restart: always
    environment: {{POSTGRES_USER: app, POSTGRES_PASSWORD: secret}}
    healthcheck:
      test: [CMD-SHELL, pg_isready -h 127.0.0.1 -U app]
      interval: 1s
    volumes: ["rows:/var/lib/postgresql/data"]
  cache:
    image: aihub-test/redis
  worker:
    image: aihub-test/web
    init: true
    command: [sleep, "86400"]
    depends_on: [cache]

volumes:
  uploads:
  rows:
"""
QUICK = {"aihub.scaling.idle_timeout": "1s", "aihub.scaling.stop_after": "2s"}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def shop(project: MakeProject, port: int) -> Project:
    made = project("shop")
    made.write_text(FILE.format(name=made.name, port=port))
    return made


def in_haste(shop: Project) -> None:
    """Its lazy services rest after a second, by an override that compose merges itself; the file stays as it was."""
    entries = {name: {"labels": QUICK} for name in ("web", "api", "db")}
    (shop.folder / "compose.override.yml").write_text(json.dumps({"services": entries}))


def put(port: int, path: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("PUT", path, body)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def sql(shop: Project, statement: str) -> str:
    return docker("exec", shop.container("db").id, "psql", "-U", "app", "-At", "-c", statement)


def started(shop: Project, *services: str) -> list[str]:
    """When each was started, in one form that sorts."""
    found = [docker("inspect", shop.container(name).id, "--format", "{{.State.StartedAt}}") for name in services]
    return [moment.ljust(30, "0") for moment in found]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def bytes_of(folder: Path) -> Mapping[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


async def test_one_command_makes_it_lazy_and_its_service_wakes_with_what_it_depends_on(
    shop: Project, port: int, start: StartHub
) -> None:
    in_haste(shop)
    before = bytes_of(shop.folder)
    hub = start(shop, lazy="all")
    said = hub.said()
    assert "lazy: web, api, db" in said
    assert "worker (it has no port" in said
    assert "cache (worker needs it and is not lazy)" in said
    await hub.until("worker", "ready")
    assert hub.states() == {"web": "stopped", "api": "stopped", "db": "stopped", "cache": "ready", "worker": "ready"}
    status, body = await asyncio.to_thread(fetch, port, "/")
    assert (status, json.loads(body)["service"]) == (200, "web")
    assert in_states(hub, {"web": "ready", "api": "ready", "db": "ready"})
    assert (order := started(shop, "db", "api", "web")) == sorted(order)
    await keeps_its_data_over_sleep(hub, shop, port)
    assert bytes_of(shop.folder) == before


async def keeps_its_data_over_sleep(hub: DockerHub, shop: Project, port: int) -> None:
    assert put(port, "/data/kept", b"uploaded") == 201
    sql(shop, "create table rows as select 7 as row")
    for service in ("web", "api", "db"):
        await hub.until(service, "stopped")
    assert {one.service: one.state for one in shop.containers()}["db"] == "exited"
    assert hub.states()["cache"] == "ready"
    # By every way in: the path below the gateway, the host, the port of its own.
    status, _, body = await asyncio.to_thread(hub.ask, "/api/web/data/kept")
    assert (status, body) == (200, b"uploaded")
    assert sql(shop, "select row from rows") == "7"
    await hub.until("web", ASLEEP)
    assert (await asyncio.to_thread(fetch, hub.port, "/data/kept", host="web.localhost"))[0] == 200
    await hub.until("web", ASLEEP)
    assert (await asyncio.to_thread(fetch, port, "/data/kept")) == (200, b"uploaded")


async def test_what_people_do_by_hand_does_no_harm(shop: Project, port: int, start: StartHub) -> None:
    hub = start(shop, lazy="all")
    assert put(port, "/data/kept", b"uploaded") == 201
    sql(shop, "create table rows as select 7 as row")
    await hub.rested("web", "stopped")
    shop.compose("stop")
    await is_left_ended(hub, shop, "cache", "worker")
    await answers_with_its_data(shop, port)
    assert [shop.container(name).state for name in ("cache", "worker")] == ["running", "exited"]
    docker("start", shop.container("worker").id)
    await hub.until("worker", "ready")
    docker("rm", "-f", shop.container("web").id, shop.container("api").id)
    await answers_with_its_data(shop, port)
    await hub.rested("web", "stopped")
    await hub.rested("api", "stopped")
    await hub.rested("db", "stopped")
    prune(shop)
    assert [one for one in shop.containers() if one.service in ("web", "api", "db")] == []
    await answers_with_its_data(shop, port)


async def is_left_ended(hub: DockerHub, shop: Project, *services: str) -> None:
    """What is not lazy belongs to whoever ended it; a reload of the catalogue changes nothing of that."""
    for name in services:
        await hub.until(name, "stopped")
    shop.file.touch()
    await asyncio.sleep(3.0)
    for name in services:
        assert shop.container(name).state == "exited"
        assert "ended by somebody else" in hub.status()["services"][name]["reason"]


async def test_docker_compose_up_on_a_project_that_was_not_adopted_doubles_nothing(
    shop: Project, port: int, start: StartHub
) -> None:
    """Compose makes anew what it takes for changed, and cannot have the port that the hub serves."""
    hub = start(shop, lazy="all")
    assert put(port, "/data/kept", b"uploaded") == 201
    sql(shop, "create table rows as select 7 as row")
    for _ in range(2):
        shop.compose("up", "-d", check=False)
        await answers_with_its_data(shop, port)
        running = [one.service for one in shop.containers() if one.state == "running"]
        assert sorted(running) == ["api", "cache", "db", "web", "worker"]
    for service in ("web", "api", "db"):
        await hub.rested(service, "stopped")
    shop.compose("up", "-d", check=False)
    await answers_with_its_data(shop, port)


def prune(shop: Project) -> None:
    """What people type to tidy up, bounded to the project: without that, other projects of this engine would lose
    their things."""
    own = ("--filter", f"label=com.docker.compose.project={shop.name}")
    docker("container", "prune", "-f", *own)
    prune_volumes(*own)


async def answers_with_its_data(shop: Project, port: int) -> None:
    status, body = await asyncio.to_thread(fetch, port, "/data/kept")
    assert (status, body) == (200, b"uploaded"), body
    assert sql(shop, "select row from rows") == "7"


async def test_an_adopted_project_is_lazy_and_docker_compose_up_goes_on_working(
    shop: Project, port: int, start: StartHub
) -> None:
    before = bytes_of(shop.folder)
    shop.compose("up", "-d", "--wait")
    original = shop.ids("web", "api", "db", "cache", "worker")
    assert put(port, "/data/kept", b"uploaded") == 201
    sql(shop, "create table rows as select 7 as row")
    aihub("adopt", str(shop.file), "--yes")
    shop.compose("--profile", "on-demand", "up", "--no-start")
    shop.compose("up", "-d")
    kept = ("cache", "worker")
    assert shop.ids(*kept) == {name: original[name] for name in kept}
    hub = start(shop)
    await hub.until("worker", "ready")
    await answers_with_its_data(shop, port)
    made = shop.ids("web", "api", "db", "cache", "worker")
    # By hand, beside a hub that runs: nothing is made anew, nothing loses its port, and nothing is woken by it.
    shop.compose("up", "-d")
    shop.compose("--profile", "on-demand", "up", "-d")
    await hub.rested("web", "stopped")
    shop.compose("up", "-d")
    assert hub.state("web") == "stopped"
    assert shop.ids(*made) == made
    await answers_with_its_data(shop, port)
    hub.down()
    aihub("eject", str(shop.file), "--yes")
    assert bytes_of(shop.folder) == before
    shop.compose("up", "-d", "--wait")
    assert {one.state for one in shop.containers()} == {"running"}
    assert shop.ids(*kept) == {name: original[name] for name in kept}
    await answers_with_its_data(shop, port)


def aihub(*words: str) -> None:
    done = subprocess.run([AIHUB, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


async def test_a_project_that_runs_already_is_taken_over(shop: Project, port: int, start: StartHub) -> None:
    shop.compose("up", "-d", "--wait")
    assert put(port, "/data/kept", b"uploaded") == 201
    sql(shop, "create table rows as select 7 as row")
    hub = start(shop, lazy="all")
    await hub.until("web", "ready")
    await answers_with_its_data(shop, port)
    # Made anew at its first rest, as its published port is the gateway's now.
    for service in ("web", "api", "db"):
        await hub.rested(service, "stopped")
    await eventually(lambda: is_open(port), limit=5)
    await answers_with_its_data(shop, port)
    assert (await asyncio.to_thread(hub.ask, "/api/web/"))[0] == 200
    assert docker("port", shop.container("web").id) == ""
