"""What compose makes of our overrides, and that we see a project as compose does; its `config` needs no engine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from services.compose.adopt import carry_out, plan_adopt, plan_eject
from services.compose.lazy import Wish
from services.compose.override import override, text
from services.compose.stacks import StackReader
from tests.support import compose_plugin
from tests.support.compose_plugin import Refused

pytestmark = pytest.mark.compose
ENVIRON = {"HOME": "/home/somebody", "PATH": "/usr/bin:/bin"}

SHOP = """\
services:
  web:
    image: x/web
    container_name: shop
    restart: unless-stopped
    ports: ["127.0.0.1:18081:80", {target: 81, published: "18082"}]
    depends_on: {db: {condition: service_healthy, restart: true}, cache: {condition: service_started}}
    networks: {front: {aliases: [www]}, default: }
  db:
    image: postgres:16
    ports: ["5432:5432"]
    deploy: {replicas: 0, restart_policy: {condition: any, max_attempts: 3}}
    healthcheck: {test: [CMD, pg_isready]}
    volumes: [data:/data]
  cache: {image: redis, profiles: [dev], scale: 0}
  front: {image: x/front, depends_on: [web], links: [web]}
  worker: {image: x/worker, links: [web], depends_on: {web: {condition: service_healthy, restart: true}}}
  other: {image: x/other}
networks: {front: }
volumes: {data: }
"""
LAZY = ("web", "db", "cache")


def _config(folder: Path, *files: str, profiles: tuple[str, ...] = ("*",), **environ: str) -> Any:
    return compose_plugin.config(files, folder, {**ENVIRON, **environ}, profiles)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "compose.yml").write_text(SHOP)
    return folder


def _overridden(shop: Path, resolved: Mapping[str, Any]) -> Any:
    (shop / "ours.yml").write_text(text(override(resolved, LAZY), "Ours."))
    return _config(shop, "compose.yml", "ours.yml")


@pytest.mark.parametrize("how", ["as compose has it", "as the file says it"])
def test_compose_reads_what_we_meant(shop: Path, how: str) -> None:
    plain = _config(shop, "compose.yml")
    services = _overridden(shop, plain if how == "as compose has it" else yaml.safe_load(SHOP))["services"]
    for name in LAZY:
        assert "on-demand" in services[name]["profiles"]
        assert services[name].get("restart", "no") == "no"
        assert "restart_policy" not in services[name].get("deploy", {})
        assert "ports" not in services[name]
        assert "container_name" not in services[name]
    assert services["db"]["deploy"]["replicas"] == services["cache"]["scale"] == 1
    for name in ("front", "worker"):
        assert services[name]["depends_on"]["web"]["required"] is False
    assert services["worker"]["depends_on"]["web"] == {
        "condition": "service_healthy",
        "restart": True,
        "required": False,
    }


def test_nothing_else_changes(shop: Path) -> None:
    plain = _config(shop, "compose.yml")
    ours = _overridden(shop, plain)
    for name, service in ours["services"].items():
        before = plain["services"][name]
        changed = {key for key in {*service, *before} if service.get(key) != before.get(key)}
        assert changed <= {"profiles", "restart", "ports", "container_name", "deploy", "scale", "depends_on"}, name
        assert name in LAZY or changed <= {"depends_on"}, name
    assert {key: ours[key] for key in ours if key != "services"} == {k: plain[k] for k in plain if k != "services"}


def test_a_second_override_over_the_first_says_nothing(shop: Path) -> None:
    assert override(_overridden(shop, _config(shop, "compose.yml")), LAZY) == {}


@pytest.mark.parametrize("profiles", [(), ("dev",), ("on-demand",), ("on-demand", "dev"), ("*",)])
def test_compose_takes_the_project_with_each_profile(shop: Path, profiles: tuple[str, ...]) -> None:
    text_ = SHOP.replace("profiles: [dev], ", "")
    (shop / "compose.yml").write_text(text_.replace("image: x/web\n", "image: x/web\n    profiles: [dev]\n"))
    with pytest.raises(Refused, match="depends on undefined service"):
        _config(shop, "compose.yml", profiles=())
    plain = _config(shop, "compose.yml")
    (shop / "ours.yml").write_text(text(override(plain, LAZY), "Ours."))
    assert set(_config(shop, "compose.yml", "ours.yml", profiles=profiles)["services"]) >= {"front", "worker", "other"}


USERS = {
    "none": None,
    "their own": "services:\n  other: {environment: {A: b}}\n  web: {ports: !override ['127.0.0.1:18083:80']}",
    "several documents": "---\nservices: {other: {environment: {A: b}}}\n---\nservices: {web: {user: me}}\n...\n",
}


@pytest.mark.parametrize("users", USERS.values(), ids=USERS)
def test_compose_takes_what_adopt_writes_by_itself(shop: Path, users: str | None) -> None:
    (shop / "compose.yml").write_text(SHOP.replace("profiles: [dev], scale: 0", ""))
    if users is not None:
        (shop / "compose.override.yml").write_text(users)
    before = _config(shop)
    carry_out(plan_adopt(shop / "compose.yml", Wish.parse("web,db"), ENVIRON))
    adopted = _config(shop, profiles=())["services"]
    assert set(adopted) == {"cache", "front", "worker", "other"}
    web = _config(shop)["services"]["web"]
    assert "ports" not in web
    assert web.get("user") == before["services"]["web"].get("user")
    assert adopted["other"].get("environment") == before["services"]["other"].get("environment")
    carry_out(plan_eject(shop / "compose.yml"))
    assert _config(shop) == before


@pytest.mark.parametrize(
    "names",
    [
        ("compose.yml", "compose.override.yml"),
        ("compose.yaml", "docker-compose.override.yaml"),
        ("docker-compose.yml", "compose.override.yaml"),
        ("docker-compose.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"),
        ("compose.yml", "docker-compose.yml", "docker-compose.override.yml"),
        ("compose.yml", "compose.override.yml", "docker-compose.override.yml"),
    ],
)
def test_we_merge_the_override_that_compose_merges(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text(f"services: {{a: {{image: x, expose: [80], environment: {{'{name}': ''}}}}}}")
    theirs = _config(tmp_path)["services"]["a"]["environment"]
    ours = StackReader(environ=ENVIRON).read([tmp_path / names[0]]).services["a"].environment
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize(
    ("folder", "head", "dotenv", "environ"),
    [
        ("shop", "", "", {}),
        ("My Shop.1", "", "", {}),
        ("__x", "", "", {}),
        ("shop", "name: other", "", {}),
        ("shop", "name: other-${STAGE}", "STAGE=dev\n", {}),
        ("shop", "name: other", "COMPOSE_PROJECT_NAME=dot\n", {}),
        ("shop", "name: other", "COMPOSE_PROJECT_NAME=dot\n", {"COMPOSE_PROJECT_NAME": "env"}),
    ],
)
def test_a_project_has_the_name_that_compose_gives_it(
    tmp_path: Path, folder: str, head: str, dotenv: str, environ: dict[str, str]
) -> None:
    place = tmp_path / folder
    place.mkdir()
    (place / ".env").write_text(dotenv)
    (place / "compose.yml").write_text(f"{head}\nservices: {{a: {{image: x, expose: [80]}}}}\n")
    stacks = StackReader(environ={**ENVIRON, **environ}).read([place / "compose.yml"]).stacks
    assert list(stacks) == [_config(place, **environ)["name"]]


@pytest.mark.parametrize(
    "networks",
    [
        "",
        "networks: []",
        "networks: {}",
        "networks: [front]",
        "networks: {front: , default: }",
        "networks: {front: {aliases: [www, shop]}}",
        "network_mode: host",
        "network_mode: bridge",
        "network_mode: none",
        "network_mode: 'service:b'",
        "container_name: own",
    ],
)
def test_a_service_is_on_the_networks_that_compose_puts_it_on(tmp_path: Path, networks: str) -> None:
    text_ = f"services:\n  a:\n    image: x\n    {networks}\n  b: {{image: x}}\nnetworks: {{front: }}\n"
    (tmp_path / "compose.yml").write_text(dedent(text_))
    theirs = _config(tmp_path)["services"]["a"]
    ours = StackReader(environ=ENVIRON).read([tmp_path / "compose.yml"]).services["a"].containers
    assert ours is not None
    aliases = {name: tuple((entry or {}).get("aliases", ())) for name, entry in theirs.get("networks", {}).items()}
    assert dict(ours.networks) == aliases
    assert (ours.network_mode, ours.container_name) == (theirs.get("network_mode"), theirs.get("container_name"))


def test_the_shipped_file_is_read_for_containers(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    shutil.copy(root / "docker-compose.distributed-ai.yml", tmp_path)
    shutil.copytree(root / "catalog", tmp_path / "catalog")
    catalog = StackReader(environ=ENVIRON).read([tmp_path / "docker-compose.distributed-ai.yml"])
    assert any(service.lazy for service in catalog.services.values())
