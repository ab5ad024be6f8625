"""What a good catalogue becomes: defaults, ports, tiers, labels, local commands, notes."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from services.catalog.load import load
from services.catalog.model import (
    Busy,
    Catalog,
    Package,
    Port,
    Protocol,
    Publish,
    Rest,
    Scaling,
    Service,
    Source,
    Tier,
    Volume,
    Wake,
)

EXAMPLE = """
services:
  ollama: {image: o, profiles: [on-demand], ports: ["127.0.0.1:1:11434"]}
  tabby:
    image: tabbyml/tabby:0.32.0
    profiles: [on-demand]
    ports: ["127.0.0.1:8081:8080"]
    volumes: ["vol:/data", "./conf:/conf:ro"]
    deploy: {resources: {limits: {memory: 2G, cpus: '1'}}}
    x-hub:
      port: 8080
      health: /v1/health
      path: /api/code
      web: true
      stateless: true
      description: Completes code
      scaling: {max_replicas: 2, scale_up_threshold: 3, idle_timeout: 5m, stop_after: 15m, rest: stopped}
      wake:
        hold: 60s
        start_timeout: 2m
        ignore_paths: [/metrics]
        ignore_agents: [Uptime-Kuma]
        answer: [/v1/models]
        allow_origins: [https://Example.org]
      busy: {cpu: 20%, http: /busy, websocket_idle: 30m}
      uses: [ollama]
      models: [starcoder]
      local:
        package: "pypi:chromadb[x]==1.5.9"
        command: "chroma run --host 127.0.0.1 --port {port} --path {data} --json '{\\"a\\": {}}'"
        environment: {URL: "{url:ollama}", N: 1}
        requires: git
        expose: true
volumes: {vol: {}}
"""


def read(folder: Path, text: str, environ: dict[str, str] | None = None) -> Catalog:
    (folder / "c.yml").write_text(dedent(text))
    return load([folder / "c.yml"], environ=environ or {})


def one(folder: Path, body: str) -> Service:
    return read(folder, f"services:\n  a: {{image: x, {body}}}\n").services["a"]


def test_the_whole_extension_becomes_values_in_plain_units(tmp_path: Path) -> None:
    service = read(tmp_path, EXAMPLE).services["tabby"]
    assert service.tier is Tier.ON_DEMAND
    assert service.lazy
    assert service.ports == (Port("main", 8080),)
    assert service.publishes == (Publish("main", "127.0.0.1", 8081),)
    assert (service.health, service.path, service.web, service.stateless) == ("/v1/health", "/api/code", True, True)
    assert service.scaling == Scaling(0, 2, 3, 300.0, 900.0, Rest.STOPPED)
    assert service.wake == Wake(60.0, 120.0, ("/metrics",), ("Uptime-Kuma",), ("/v1/models",), ("https://example.org",))
    assert service.busy == Busy(0.2, "/busy", 1800.0)
    assert (service.uses, service.models, service.description) == (("ollama",), ("starcoder",), "Completes code")
    assert service.volumes == (
        Volume("vol", "/data"),
        Volume(str(tmp_path / "conf"), "/conf", read_only=True, named=False),
    )
    assert service.resources.memory_limit == 2 * 2**30
    assert service.resources.cpus == 1.0
    assert service.source == Source(str(tmp_path / "c.yml"), 4)
    assert service.local is not None
    assert service.local.command[-2:] == ("--json", '{"a": {}}')
    assert service.local.environment == {"URL": "{url:ollama}", "N": "1"}
    assert service.local.package == Package("pypi", "chromadb[x]==1.5.9")
    assert service.local.expose
    assert service.local.requires == "git"


def test_a_pasted_service_without_extension_is_persistent_and_complete(tmp_path: Path) -> None:
    service = one(tmp_path, 'ports: ["8080:80"]')
    assert service.tier is Tier.PERSISTENT
    assert not service.lazy
    assert service.scaling == Scaling(min_replicas=1, max_replicas=1)
    assert service.ports == (Port("main", 80),)
    assert (service.health, service.path, service.local) == ("tcp", "/api/a", None)


@pytest.mark.parametrize(
    ("body", "tier", "lazy"),
    [
        ("profiles: [on-demand], expose: [80]", Tier.ON_DEMAND, True),
        ("profiles: [gpu, on-demand], expose: [80]", Tier.ON_DEMAND, True),
        ("deploy: {replicas: 0}, expose: [80]", Tier.ON_DEMAND, True),
        ("scale: 0, expose: [80]", Tier.ON_DEMAND, True),
        ("deploy: {replicas: 1}", Tier.PERSISTENT, False),
        ("x-hub: {tier: infra}", Tier.INFRA, False),
        ("x-hub: {tier: on-demand, port: 80}", Tier.ON_DEMAND, True),
        ("x-hub: {tier: persistent, port: 80}, profiles: [on-demand]", Tier.PERSISTENT, True),
        ("labels: {aihub.tier: infra}", Tier.INFRA, False),
    ],
)
def test_the_tier_and_whether_a_service_sleeps(tmp_path: Path, body: str, tier: Tier, lazy: bool) -> None:
    service = one(tmp_path, body)
    assert (service.tier, service.lazy) == (tier, lazy)


def test_several_ports_have_the_main_one_first(tmp_path: Path) -> None:
    service = one(
        tmp_path,
        'ports: ["127.0.0.1:5:6334", "127.0.0.1:6:6333"], '
        "x-hub: {ports: {grpc: {port: 6334, protocol: h2c}, main: {port: 6333}, raw: {port: 9, protocol: tcp}}}",
    )
    assert service.ports == (Port("main", 6333), Port("grpc", 6334, Protocol.H2C), Port("raw", 9, Protocol.TCP))
    assert service.publishes == (Publish("main", "127.0.0.1", 6), Publish("grpc", "127.0.0.1", 5))


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("8123", Publish("main", "127.0.0.1", 8123)),
        ("127.0.0.2:8123", Publish("main", "127.0.0.2", 8123)),
        ("0.0.0.0:8123", Publish("main", "0.0.0.0", 8123)),
        ("'[::1]:8123'", Publish("main", "::1", 8123)),
    ],
)
def test_an_address_of_its_own_stands_instead_of_the_published_one(
    tmp_path: Path, listen: str, expected: Publish
) -> None:
    assert one(tmp_path, f'ports: ["1:80"], x-hub: {{listen: {listen}}}').publishes == (expected,)


def test_a_port_published_without_an_address_is_on_loopback_and_that_is_said(tmp_path: Path) -> None:
    catalog = read(tmp_path, 'services: {a: {image: x, ports: ["8080:80"]}, b: {image: x, ports: ["0.0.0.0:81:80"]}}')
    assert catalog.services["a"].publishes == (Publish("main", "127.0.0.1", 8080),)
    assert catalog.services["b"].publishes == (Publish("main", "0.0.0.0", 81),)
    assert catalog.notes == ("ports published without an address listen on 127.0.0.1 only (a)",)


@pytest.mark.parametrize(
    ("test", "health"),
    [
        ("curl -f http://localhost:80/healthz || exit 1", "/healthz"),
        ("[CMD, wget, -q, -O, /dev/null, 'http://127.0.0.1/ready?full=1']", "/ready?full=1"),
        ("[CMD-SHELL, curl -sf localhost/]", "tcp"),
        ("curl -f http://localhost:81/other-port", "tcp"),
        ("curl -f http://example.org/", "tcp"),
        ("curl -f https://localhost:80/", "tcp"),
        ("pg_isready", "tcp"),
        ("[NONE]", "tcp"),
        ("curl http://[::1", "tcp"),
    ],
)
def test_a_healthcheck_by_curl_or_wget_says_where_health_is(tmp_path: Path, test: str, health: str) -> None:
    text = f"services:\n  a:\n    image: x\n    expose: [80]\n    healthcheck:\n      test: {test}\n"
    assert read(tmp_path, text).services["a"].health == health


def test_labels_say_what_the_extension_says_and_the_extension_wins(tmp_path: Path) -> None:
    service = one(
        tmp_path,
        "labels: {aihub.port: 80, aihub.scaling.idle_timeout: 5s, aihub.scaling.rest: stopped, aihub.web: 'true', "
        "aihub.models: 'm1, m2', aihub.ports.grpc.port: 81, aihub.local.command: 'run {port}', "
        "aihub.local.environment.A: 1, aihub.description: d, other: 1}, "
        "x-hub: {scaling: {idle_timeout: 7s}, local: {environment: {B: 2}}}",
    )
    assert service.scaling.idle_timeout == 7.0
    assert service.scaling.rest is Rest.STOPPED
    assert service.models == ("m1", "m2")
    assert service.web
    assert service.ports == (Port("main", 80), Port("grpc", 81))
    assert service.local is not None
    assert service.local.command == ("run", "{port}")
    assert service.local.environment == {"A": "1", "B": "2"}
    assert type(service.description) is str
    assert service.labels["aihub.port"] == "80"


@pytest.mark.parametrize(
    ("body", "name"),
    [("pypi:x==1", "a.txt"), ("npm:x@1.2.3", "a.package-lock.json"), ("npm:@s/x@1.2.3-rc.1", "a.package-lock.json")],
)
def test_the_lock_lies_beside_the_file_that_declares_the_service(tmp_path: Path, body: str, name: str) -> None:
    (tmp_path / "sub" / "locks").mkdir(parents=True)
    (tmp_path / "sub" / "locks" / name).write_text("pinned")
    hub = f"x-hub: {{local: {{command: x, package: '{body}'}}}}"
    (tmp_path / "sub" / "i.yml").write_text(f"services: {{a: {{image: x, {hub}}}}}")
    service = read(tmp_path, f"include: [sub/i.yml]\nservices: {{b: {{image: x, {hub}}}}}").services
    assert service["a"].local is not None
    assert service["a"].local.package is not None
    assert service["a"].local.package.lock == str(tmp_path / "sub" / "locks" / name)
    assert service["b"].local is not None
    assert service["b"].local.package is not None
    assert service["b"].local.package.lock is None


def test_a_service_without_image_is_local_only_and_that_is_said(tmp_path: Path) -> None:
    catalog = read(tmp_path, "services: {a: {x-hub: {port: 1, local: {command: 'x {port}'}}}}")
    assert catalog.services["a"].image is None
    assert catalog.notes == ("services without an image cannot run in Docker (a)",)


def test_what_means_nothing_without_docker_is_told_once_with_its_services(tmp_path: Path) -> None:
    text = "x: {a: 1}\nservices:\n" + "".join(f"  s{i}: {{image: x, networks: [n], tty: true}}\n" for i in range(5))
    catalog = read(tmp_path, text.replace("x: {a: 1}\n", "x-x: 1\n") + "networks: {n: {}}\n")
    assert catalog.notes == (
        "networks means nothing without Docker: services of this machine reach each other at the gateway "
        "(s0, s1, s2 and 2 more)",
        "tty means nothing without Docker (s0, s1, s2 and 2 more)",
    )


NOTED = {
    "image: x, x-hubb: {port: 80}": "x-hubb is a key of your own, which nobody reads: did you mean x-hub? (a)",
    "image: x, x-hub: {port: 1, local: {command: serve --fast}}": "x-hub.local names no {port}, but the hub chooses "
    "one for each start; the program has to listen there (a)",
    "image: x, x-hub: {port: 1, local: {command: 'init && serve {port} > out'}}": "x-hub.local.command is run by no "
    'shell, so && and > goes to the program as it is: write [sh, -c, "…"] where a shell is meant (a)',
}


@pytest.mark.parametrize("body", NOTED)
def test_what_may_be_meant_otherwise_is_noted(body: str, tmp_path: Path) -> None:
    assert NOTED[body] in read(tmp_path, f"services: {{a: {{{body}}}}}").notes


@pytest.mark.parametrize(
    "body",
    [
        "image: x, x-hook: {port: 80}",
        "image: x, x-hub: {port: 1, local: {command: serve, environment: {PORT: '{port}'}}}",
        "image: x, x-hub: {port: 1, local: {command: [sh, -c, 'init && serve {port} > out']}}",
        "image: x, x-hub: {local: {command: worker --a=b>c}}",
    ],
)
def test_what_is_clearly_meant_is_not_noted(body: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"services: {{a: {{{body}}}}}").notes == ()


def test_a_variable_that_is_not_set_is_noted(tmp_path: Path) -> None:
    catalog = read(tmp_path, "services: {a: {image: 'x$NOBODY', environment: {B: '${OTHER:-}'}}}")
    assert catalog.notes == ("variable NOBODY is not set and read as empty (a)",)


def test_environment_null_without_a_variable_is_left_out(tmp_path: Path) -> None:
    catalog = read(tmp_path, "services: {a: {image: x, environment: {A: , B: }}}", {"A": "1"})
    assert dict(catalog.services["a"].environment) == {"A": "1"}


def test_profiles_that_are_not_enabled_are_left_out(tmp_path: Path) -> None:
    text = "services: {a: {image: x}, b: {image: x, profiles: [p]}, c: {image: x, profiles: [on-demand], expose: [1]}}"
    (tmp_path / "c.yml").write_text(text)
    assert list(load([tmp_path / "c.yml"], environ={}).services) == ["a", "c"]
    assert list(load([tmp_path / "c.yml"], environ={}, profiles=["p"]).services) == ["a", "b", "c"]
    assert list(load([tmp_path / "c.yml"], environ={"COMPOSE_PROFILES": "p"}).services) == ["a", "b", "c"]
    assert list(load([tmp_path / "c.yml"], environ={}, profiles=["*"]).services) == ["a", "b", "c"]


def test_two_services_may_name_one_model_and_the_first_answers(tmp_path: Path) -> None:
    catalog = read(tmp_path, "services: {a: {image: x, x-hub: {models: [m]}}, b: {image: x, x-hub: {models: [m]}}}")
    assert catalog.notes == ("model m is answered by a, which names it first (b)",)


def test_every_file_that_was_read_is_named_for_a_watcher(tmp_path: Path) -> None:
    (tmp_path / "i.yml").write_text("services: {b: {image: x, env_file: [{path: e.env, required: false}]}}")
    catalog = read(tmp_path, "include: [i.yml]\nservices: {a: {image: x}}")
    assert {Path(file).name for file in catalog.files} == {"c.yml", "i.yml", "e.env", ".env"}


CHANGES = [
    "image: y",
    "image: x, environment: {A: 1}",
    "image: x, volumes: ['/a:/b']",
    "image: x, mem_limit: 1g",
    "image: x, command: [other]",
    "image: x, x-hub: {port: 81}",
    "image: x, x-hub: {local: {command: x}}",
    "image: x, x-hub: {local: {command: y}}",
    "image: x, x-hub: {local: {command: x, package: 'pypi:p==1'}}",
    "image: x, x-hub: {local: {command: x, package: 'pypi:p==2'}}",
    "image: x, x-hub: {local: {command: x, environment: {A: 1}}}",
]


def test_the_digest_changes_with_all_that_a_replica_was_started_with(tmp_path: Path) -> None:
    digests = [read(tmp_path, f"services: {{a: {{{body}}}}}").services["a"].digest for body in ["image: x", *CHANGES]]
    assert len(set(digests)) == len(digests)
    (tmp_path / "locks").mkdir()
    for pinned in ("one", "two"):
        (tmp_path / "locks" / "a.txt").write_text(pinned)
        digests.append(one(tmp_path, "x-hub: {local: {command: x, package: 'pypi:p==1'}}").digest)
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    "body",
    ["x-hub: {scaling: {idle_timeout: 9s}, wake: {hold: 9s}, description: d}", "labels: {a: b}", "restart: always"],
)
def test_the_digest_stays_where_a_running_replica_is_still_right(tmp_path: Path, body: str) -> None:
    assert one(tmp_path, body).digest == one(tmp_path, "x-none: 1").digest
