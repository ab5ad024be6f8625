"""What the shipped catalogue promises of each of its services."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.api_adapter.listing import AGENT
from services.api_adapter.translate.models import speakers
from services.catalog import shipped, units
from services.catalog.kong.classes import UPLOAD_LABEL, is_public
from services.catalog.kong.render import is_served
from services.catalog.load import load
from services.catalog.model import Catalog, Package, Service, Tier
from services.scaler.mesh.config.service_routes import monitors

CHECKOUT = Path(__file__).resolve().parents[2]
COMPOSE = CHECKOUT / "docker-compose.distributed-ai.yml"
PRODUCTION = CHECKOUT / "docker-compose.prod.yml"
LOCKS = CHECKOUT / "catalog" / "locks"
_MOVING = re.compile(r"latest|main|stable|edge|nightly|dev|cpu|server|\d+")
_SECRET = re.compile(r"\$\{(HUB_[A-Z0-9_]*_(?:PASSWORD|TOKEN|SECRET|KEY))(:-[^}$]*)?\}")
_GIB = 1 << 30


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """As somebody without Docker and without an .env has it."""
    return load([COMPOSE], environ={}, profiles=())


@pytest.fixture(scope="module")
def everything() -> Catalog:
    return load([COMPOSE], environ={}, profiles=("*",))


@pytest.fixture(scope="module")
def production() -> Catalog:
    return load([COMPOSE, PRODUCTION], environ={}, profiles=("*",))


def texts() -> Iterator[tuple[str, str]]:
    """Every compose file that is shipped: its name and what stands in it."""
    for path in (COMPOSE, PRODUCTION, *sorted((CHECKOUT / "catalog").glob("*.yml"))):
        yield path.name, path.read_text()


def on_demand(catalog: Catalog) -> dict[str, Service]:
    """Those that answer people or programs; their databases are not counted."""
    found = {name: service for name, service in catalog.services.items() if service.tier is Tier.ON_DEMAND}
    return {name: service for name, service in found.items() if service.http_ports}


def packages(catalog: Catalog) -> dict[str, Package]:
    return {
        name: service.local.package
        for name, service in catalog.services.items()
        if service.local is not None and service.local.package is not None
    }


def test_at_least_twelve_services_of_others_run_without_docker(catalog: Catalog) -> None:
    assert len(packages(catalog)) >= 12


def test_every_service_says_what_it_is_and_what_it_may_take(everything: Catalog) -> None:
    for service in everything.services.values():
        assert service.description, service.name
        assert service.image, service.name
        assert service.resources.memory_limit, service.name
        assert service.resources.cpus, service.name
        assert service.resources.memory_reservation, service.name
        assert service.resources.memory_reservation <= service.resources.memory_limit, service.name
        assert 0.25 <= service.resources.cpus <= 2, service.name
        assert service.labels["org.opencontainers.image.licenses"], service.name


def test_the_tiers_hold_what_they_are_known_for(catalog: Catalog) -> None:
    tiers = {tier: {name for name, s in catalog.services.items() if s.tier is tier} for tier in Tier}
    assert tiers[Tier.INFRA] >= {"kong", "consul", "rabbitmq", "redis", "scaler", "docker-proxy"}
    assert tiers[Tier.PERSISTENT] == {"ollama", "chroma", "qdrant", "n8n"}
    assert len(on_demand(catalog)) >= 45
    assert on_demand(catalog).keys() >= {"langchain", "autogpt", "letta", "tabby"}
    assert all(service.lazy for service in on_demand(catalog).values())


def test_of_what_the_hub_stands_on_the_adapter_alone_is_reached_from_outside(everything: Catalog) -> None:
    opened = {service.name for service in everything.services.values() if is_public(service)}
    assert opened == {"api-adapter"}
    assert is_served(everything.services["api-adapter"])


def test_the_adapter_is_told_of_services_with_their_ports_and_all_their_models(catalog: Catalog) -> None:
    told = speakers(catalog.services["api-adapter"].environment["AIHUB_MODEL_SERVICES"] or "")
    for speaker in told:
        service = catalog.services[speaker.service]
        assert service.main is not None
        assert speaker.base == f"http://{service.name}:{service.main.number}/v1"
        assert service.path == f"/api/{service.name}"
        assert speaker.named == service.models
        assert "/v1/models" in service.wake.answer, "or its models would be forgotten while it sleeps"
    named = {speaker.service for speaker in told}
    assert named >= {name for name, service in catalog.services.items() if service.models}
    assert named >= {name for name, service in catalog.services.items() if "/v1/models" in service.wake.answer}


def test_whom_the_adapter_asks_is_written_from_the_catalogue_and_from_nothing_else(catalog: Catalog) -> None:
    text = COMPOSE.read_text("utf-8")
    for changed in (
        text.replace("        llama=http://llama:8080/v1#llama\n", ""),
        text.replace("ollama=http://ollama:11434/v1\n", "ollama=http://ollama:1/v1\n        gone=http://gone:1/v1\n"),
    ):
        assert changed != text
        assert shipped.model_services(changed, catalog) == text
    hello = replace(catalog.services["hello"], models=("a", "b:1"))
    more = shipped.model_services(text, replace(catalog, services={"hello": hello}))
    assert "AIHUB_MODEL_SERVICES: >-\n        hello=http://hello:8080/v1#a,b:1\n    read_only" in more


def test_a_model_or_a_file_that_leaves_no_place_for_it_is_told(catalog: Catalog) -> None:
    text = COMPOSE.read_text("utf-8")
    for model in ("a b", "a,b", "$a"):
        odd = {"hello": replace(catalog.services["hello"], models=(model,))}
        with pytest.raises(ValueError, match=f"hello: .*{re.escape(repr(model))}"):
            shipped.model_services(text, replace(catalog, services=odd))
    with pytest.raises(ValueError, match="has lost AIHUB_MODEL_SERVICES"):
        shipped.model_services(text.replace("AIHUB_MODEL_SERVICES: >-", "AIHUB_MODEL_SERVICES: |"), catalog)


def test_the_hub_knows_the_adapters_list_of_models_for_one_that_only_looks() -> None:
    assert re.fullmatch(monitors(), AGENT)


def test_what_has_limits_by_promise_keeps_them(catalog: Catalog) -> None:
    limits = {name: service.resources for name, service in catalog.services.items()}
    assert limits["ollama"].memory_limit == 4 * _GIB
    assert (limits["ollama"].memory_reservation or 0) >= 2 * _GIB
    for name in ("chroma", "qdrant", "weaviate", "letta", "autogpt", "autogen", "flowise", "langflow", "agent-zero"):
        assert limits[name].memory_limit == 2 * _GIB, name
    for name in ("n8n", "node-red", "prefect", "dagster", "langchain"):
        assert limits[name].memory_limit == _GIB, name


def test_every_image_is_pinned_to_one_version(everything: Catalog) -> None:
    for service in everything.services.values():
        assert service.image is not None
        _, _, tag = service.image.rpartition("/")[2].partition(":")
        assert tag, service.name
        assert not _MOVING.fullmatch(tag), f"{service.name}: {tag} moves"


def test_volumes_that_services_name_are_declared_and_none_is_shared(everything: Catalog) -> None:
    declared = {
        name for path in (COMPOSE, *sorted((CHECKOUT / "catalog").glob("*.yml"))) for name in volumes_declared(path)
    }
    used = [
        (volume.source, service.name)
        for service in everything.services.values()
        for volume in service.volumes
        if volume.named
    ]
    assert {name for name, _ in used} == declared
    shared = {name: count for name, count in Counter(name for name, _ in used).items() if count > 1}
    assert shared == {"docker-proxy": 2}  # the socket that the proxy makes and the scaler asks


def volumes_declared(path: Path) -> Iterator[str]:
    _, _, block = path.read_text().partition("\nvolumes:\n")
    yield from re.findall(r"^  ([\w-]+): \{\}$", block, re.MULTILINE)


def test_every_database_rests_with_the_service_that_needs_it_and_has_no_way_out(catalog: Catalog) -> None:
    databases = [s for s in catalog.services.values() if s.tier is Tier.ON_DEMAND and not s.http_ports]
    assert databases
    for service in databases:
        assert catalog.dependents(service.name), service.name
        assert service.publishes == (), service.name


def test_a_secret_has_no_default_and_a_name_that_the_deployment_makes_up() -> None:
    for file, text in texts():
        for name, default in _SECRET.findall(text):
            allowed = {":-", ":-local"} if name == "HUB_LITELLM_KEY" else {":-"}
            assert default in allowed, f"{file}: {name} has the default {default!r}"
        for line in text.splitlines():
            key, _, value = line.strip().partition(": ")
            secret = re.search(r"(?:PASSWORD|PASS|TOKEN|SECRET|MASTER_KEY|ENCRYPTION_KEY)\Z", key)
            if secret and value and value != '"true"' and not value.startswith(("'", "{")):
                assert re.search(r"\$\{[A-Z0-9_]+:-", value), f"{file}: {line.strip()}"


def test_production_shows_kong_alone_to_other_machines_and_closes_its_admin_port(production: Catalog) -> None:
    published = {(name, p.host, p.number) for name, service in production.services.items() for p in service.publishes}
    beyond = {one for one in published if one[1] != "127.0.0.1"}
    assert beyond == {("kong", "0.0.0.0", 443)}
    # For the scaler, which is on the network of the machine itself.
    assert published - beyond == {("consul", "127.0.0.1", 8500), ("rabbitmq", "127.0.0.1", 15672)}
    kong = production.services["kong"]
    assert kong.environment["KONG_ADMIN_LISTEN"] == "off"
    assert "ssl" in kong.environment["KONG_PROXY_LISTEN"]


def test_no_service_on_demand_holds_the_socket_of_docker_or_all_rights(everything: Catalog) -> None:
    holders = {s.name for s in everything.services.values() if any("docker.sock" in v.source for v in s.volumes)}
    assert holders == {"docker-proxy"}
    privileged = re.findall(r"^ +(?:privileged|cap_add|devices):", "\n".join(text for _, text in texts()), re.MULTILINE)
    assert len(privileged) == 2  # cadvisor, which reads all control groups


def test_every_row_of_the_table_has_a_source(everything: Catalog) -> None:
    rows = [line for line in shipped.table(everything).splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(everything.services)
    ours = {"hello", "langchain", "scaler", "api-adapter", "hub-metrics"}
    without = {row.split("|")[1].strip() for row in rows if "](https://" not in row}
    assert without == ours


def test_files_that_containers_mount_are_there(everything: Catalog) -> None:
    for service in everything.services.values():
        for volume in service.volumes:
            if not volume.named and volume.source.startswith(f"{CHECKOUT}/"):
                assert Path(volume.source).exists(), f"{service.name}: {volume.source}"


def test_no_service_is_published_beyond_this_machine_and_none_on_the_port_of_another(everything: Catalog) -> None:
    published = [publish for service in everything.services.values() for publish in service.publishes]
    assert {publish.host for publish in published} == {"127.0.0.1"}
    doubled = {number: count for number, count in Counter(p.number for p in published).items() if count > 1}
    assert doubled == {}
    assert all(1024 < publish.number < 32768 for publish in published)


def test_what_people_know_by_its_port_is_there(everything: Catalog) -> None:
    own = {name: {publish.number for publish in service.publishes} for name, service in everything.services.items()}
    assert own["kong"] == {8000, 8001, 9080}
    assert own["consul"] == {8500}
    assert own["rabbitmq"] == {15672, 5672}
    assert (own["grafana"], own["prometheus"], own["jaeger"]) == ({3000}, {9090}, {16686})


def test_kong_lets_through_what_services_ask_for(everything: Catalog) -> None:
    kong = everything.services["kong"].environment
    asked = {
        name: units.size(s.labels[UPLOAD_LABEL]) for name, s in everything.services.items() if UPLOAD_LABEL in s.labels
    }
    assert {"ollama", "mlflow", "label-studio", "jupyter"} <= asked.keys()
    assert units.size(kong["KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE"] or "") == max(asked.values())
    assert "0.0.0.0:9080 http2 " in (kong["KONG_PROXY_LISTEN"] or "")
    assert kong["KONG_HEADERS"] == "off"


def test_every_service_that_can_run_here_sleeps_and_tells_when_it_is_ready(catalog: Catalog) -> None:
    for service in catalog.services.values():
        if service.local is not None:
            assert service.lazy, service.name
            assert service.health.startswith("/"), service.name
            assert service.tier is not Tier.INFRA or is_public(service), service.name
            assert service.scaling.min_replicas == 0, service.name


def test_every_package_is_pinned_by_a_lock_that_names_no_host_and_no_path(catalog: Catalog) -> None:
    for name, package in packages(catalog).items():
        assert package.lock is not None, name
        text = Path(package.lock).read_text()
        assert "://" not in text, name
        assert not re.search(r"(^|\s)(/|file:|-e |--index|--find-links)", text), name
        if package.registry == "npm":
            entries = [entry for where, entry in json.loads(text)["packages"].items() if where]
            assert all(entry.get("integrity") or entry.get("inBundle") for entry in entries), name
        else:
            for pinned in text.split("\n\n")[-1].replace(" \\\n", " ").splitlines():
                assert re.match(r"[A-Za-z0-9][\w.-]*==\S+ .*--hash=sha256:[0-9a-f]{64}", pinned), (name, pinned)


def test_the_locks_are_those_of_the_versions_in_the_catalogue(catalog: Catalog) -> None:
    wanted = tomllib.loads((LOCKS / "wanted.toml").read_text())
    for name, package in packages(catalog).items():
        assert package.lock is not None
        if package.registry == "pypi":
            assert re.sub(r"\[.*]", "", wanted[name]["package"]) == package.requirement
            assert f"{package.requirement} \\\n" in Path(package.lock).read_text()
    assert wanted.keys() == {name for name, package in packages(catalog).items() if package.registry == "pypi"}


def test_every_editor_finds_the_schema(catalog: Catalog) -> None:
    for file in catalog.files:
        path = Path(file)
        if path.suffix == ".yml":
            first = path.read_text().partition("\n")[0]
            found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
            assert found, path.name
            assert (path.parent / found.group(1)).resolve() == CHECKOUT / "catalog" / "compose.schema.json"
