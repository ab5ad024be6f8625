"""Who can be lazy in a file that knows nothing of it, and the reasons of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.catalog.load import CatalogError
from services.catalog.model import Protocol
from services.compose.lazy import Choice, Wish, WishError
from services.compose.stacks import StackReader
from tests.unit.compose.conftest import Write

ENVIRON = {"HOME": "/home/somebody"}


def _choice(file: Path, wish: str | None = "all") -> Choice:
    reader = StackReader(Wish.parse(wish), environ=ENVIRON)
    reader.read([file])
    return reader.choice


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("image: n8nio/n8n:1.2\nports: ['5678:5678']", "it runs what is due by the clock"),
        ("image: dgtlmoon/changedetection.io\nports: ['5000:5000']", "it watches other services"),
        ("image: ghcr.io/louislam/uptime-kuma:1@sha256:abc\nports: ['3001:3001']", "it watches other services"),
        ("image: containrrr/watchtower", "it watches other services"),
        ("image: mcuadros/ofelia", "it runs what is due by the clock"),
        ("image: offen/docker-volume-backup:v2", "it makes backups"),
        ("image: traefik:v3.1\nports: ['80:80']", "it is a way in for others"),
        (
            "image: x/proxy\nports: ['80:80']\nvolumes: ['/var/run/docker.sock:/s:ro']",
            "it works on the container engine",
        ),
        ("image: x/web\nnetwork_mode: host", "network_mode: host"),
        ("image: x/web\nexpose: [80]\nnetwork_mode: 'service:db'", "it has no address of its own"),
        ("image: x/worker", "it has no port whose requests could wake it"),
        ("image: x/web\nports: ['80:80', '53:53/udp']", "it publishes a port that is not TCP"),
        ("image: x/web\nports: ['80:80', '22:22']", "its published port 22 speaks no plain HTTP"),
        ("image: x/web\nports: ['80:80', '443:443']", "its published port 443 speaks no plain HTTP"),
        ("image: postgres:16", "nothing that could be woken needs it"),
    ],
)
def test_all_leaves_what_works_without_requests_and_says_why(write: Write, service: str, reason: str) -> None:
    lines = "".join(f"    {line}\n" for line in service.splitlines())
    file = write(f"services:\n  one:\n{lines}  db: {{image: x/y, expose: [80]}}\n")
    assert reason in _choice(file).left["one"]


@pytest.mark.parametrize(
    "service",
    [
        "{image: x/web, ports: ['127.0.0.1:8080:80']}",
        "{build: ., expose: [3000]}",
        "{image: ollama/ollama}",
        "{image: x/web, ports: ['8080:80'], deploy: {replicas: 2}}",
        "{image: nginx, ports: ['80:80']}",
    ],
)
def test_all_takes_what_has_an_http_port(write: Write, service: str) -> None:
    assert _choice(write(f"services: {{one: {service}}}")).taken == ("one",)


STACK = """
    services:
      web: {image: x/web, ports: ["8080:80"], depends_on: [db]}
      db: {image: "postgres:16"}
      admin: {image: x/admin, ports: ["8081:80"], environment: {DSN: "postgres://u:p@db:5432/x"}}
"""


def test_a_database_goes_with_those_who_need_it(write: Write) -> None:
    reader = StackReader(Wish(), environ=ENVIRON)
    catalog = reader.read([write(STACK)])
    assert reader.choice.taken == ("web", "db", "admin")
    assert catalog.services["db"].ports[0].protocol is Protocol.TCP
    # Its environment names it, its file does not say that it needs it.
    assert catalog.services["admin"].uses == ("db",)
    assert catalog.services["web"].uses == ()


def test_a_database_stays_where_somebody_who_stays_needs_it(write: Write) -> None:
    worker = 'worker: {image: x/worker, environment: ["Q=db:5432"], depends_on: [cache]}'
    file = write(f"{STACK}      {worker}\n      cache: {{image: redis}}\n")
    choice = _choice(file)
    assert choice.taken == ("web", "admin")
    assert choice.left["db"] == "worker needs it and is not lazy"
    assert choice.left["cache"] == "worker needs it and is not lazy"


def test_a_word_of_the_environment_that_only_resembles_a_name_counts_for_nothing(write: Write) -> None:
    file = write(
        """
        services:
          web: {image: x/web, ports: ["8080:80"], depends_on: [db]}
          db: {image: mariadb}
          worker: {image: x/worker, environment: {NAME: mydb, PATH: /db, KIND: db2, HOST: db.example.org}}
        """
    )
    assert _choice(file).left["db"] == "worker needs it and is not lazy"
    file.write_text(file.read_text().replace("PATH: /db, ", ""))
    assert _choice(file).taken == ("web", "db")


def test_a_task_that_others_wait_for_is_left_with_its_database(write: Write) -> None:
    file = write(
        """
        services:
          web:
            image: x/web
            expose: [80]
            depends_on: {migrate: {condition: service_completed_successfully}, db: {condition: service_healthy}}
          migrate: {image: x/web, expose: [80], depends_on: [db]}
          db: {image: mysql}
        """
    )
    choice = _choice(file)
    assert choice.taken == ("web",)
    assert choice.left["migrate"] == "it does a task and ends, which web waits for"
    assert choice.left["db"] == "migrate needs it and is not lazy"


@pytest.mark.parametrize("how", ["links: ['web:shop']", "volumes_from: [web]", "pid: 'service:web'"])
def test_whoever_needs_the_very_container_holds_it(write: Write, how: str) -> None:
    file = write(f"services:\n  web: {{image: x/web, expose: [80]}}\n  one: {{image: x/y, expose: [80], {how}}}\n")
    assert "one needs its very container" in _choice(file).left["web"]


def test_a_link_under_the_name_that_a_service_has_anyway_holds_nothing(write: Write) -> None:
    file = write("services: {web: {image: x, expose: [80]}, one: {image: x, expose: [80], links: [web]}}")
    assert _choice(file).taken == ("web", "one")


def test_names_are_taken_exactly(write: Write) -> None:
    file = write("services: {web_app: {image: x, expose: [80]}, n: {image: n8nio/n8n, expose: [5678]}, z: {image: x}}")
    assert _choice(file, "web_app,n").taken == ("web-app", "n")
    assert _choice(file, "web-app").taken == ("web-app",)
    assert list(_choice(file, "web-app").lines()) == ["lazy: web-app"]


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        ("serch", "no service is called 'serch' (did you mean 'search'?)"),
        ("quux", "no service is called 'quux' (there are search, worker, hosted)"),
        ("worker", "worker cannot be lazy: it has no port"),
        ("hosted", "hosted cannot be lazy: network_mode: host"),
    ],
)
def test_a_wish_that_cannot_be_had_is_a_fault(write: Write, wish: str, wanted: str) -> None:
    file = write(
        "services: {search: {image: x, expose: [80]}, worker: {image: x}, hosted: {image: x, network_mode: host}}"
    )
    with pytest.raises(CatalogError) as caught:
        _choice(file, wish)
    assert f"--lazy: {wanted}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "a,,b", " , "])
def test_a_wish_is_all_or_names(text: str) -> None:
    with pytest.raises(WishError, match="neither all nor names"):
        Wish.parse(text)


def test_without_a_wish_the_files_decide(write: Write) -> None:
    file = write(
        """
        services:
          a: {image: x, expose: [80], profiles: [on-demand]}
          b: {image: x, expose: [80], deploy: {replicas: 0}}
          c: {image: x, expose: [80], labels: {aihub.tier: on-demand}}
          d: {image: x, expose: [80]}
        """
    )
    choice = _choice(file, None)
    assert choice.taken == ("a", "b", "c")
    assert list(choice.lines()) == ["lazy: a, b, c"]
