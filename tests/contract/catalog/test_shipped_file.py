"""The shipped compose file, as compose itself takes it: with no profile, with each, with all, and in production."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from services.catalog.load import load
from tests.support import compose_plugin

ROOT = Path(__file__).resolve().parents[3]
BASE, PRODUCTION = "docker-compose.distributed-ai.yml", "docker-compose.prod.yml"
_TIER_ONE = {"kong", "consul", "rabbitmq", "redis", "docker-proxy", "scaler"}


def taken(*files: str, profiles: tuple[str, ...]) -> dict[str, Any]:
    """Services that compose knows, without an `.env` and without variables."""
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COMPOSE_DISABLE_ENV_FILE": "1"}
    services: dict[str, Any] = compose_plugin.config(files, ROOT, environ, profiles)["services"]
    return services


def test_without_a_profile_compose_starts_the_first_two_tiers_and_nothing_else() -> None:
    assert taken(BASE, profiles=()).keys() == _TIER_ONE | {"qdrant", "n8n"}


@pytest.mark.parametrize("profile", ["on-demand", "monitor", "*"])
def test_compose_takes_the_file_with_each_profile(profile: str) -> None:
    found = taken(BASE, profiles=(profile,))
    assert found.keys() > _TIER_ONE
    assert ("grafana" in found) == (profile in ("monitor", "*"))
    assert ("tabby" in found) == (profile in ("on-demand", "*"))


@pytest.mark.parametrize("files", [(BASE,), (BASE, PRODUCTION)], ids=["dev", "prod"])
def test_we_read_in_it_what_compose_reads(files: tuple[str, ...]) -> None:
    theirs = taken(*files, profiles=("*",))
    ours = load([ROOT / file for file in files], environ={}, profiles=("*",)).services
    assert theirs.keys() == ours.keys()
    for name, service in ours.items():
        assert service.image == theirs[name]["image"], name
        environment = theirs[name].get("environment") or {}
        assert dict(service.environment) == {key: value or "" for key, value in environment.items()}, name
        assert {p.number for p in service.publishes} == {int(p["published"]) for p in theirs[name].get("ports", [])}
        assert {d.service for d in service.depends_on} == set(theirs[name].get("depends_on") or {}), name


def test_production_closes_every_port_but_that_of_kong_and_what_the_scaler_asks() -> None:
    ports = {
        (name, port.get("host_ip"), port["published"])
        for name, service in taken(BASE, PRODUCTION, profiles=("*",)).items()
        for port in service.get("ports", [])
    }
    assert ports == {("kong", "0.0.0.0", "443"), ("consul", "127.0.0.1", "8500"), ("rabbitmq", "127.0.0.1", "15672")}


def test_every_network_but_that_of_edge_and_services_has_no_way_out() -> None:
    document = compose_plugin.config((BASE,), ROOT, {"PATH": os.environ["PATH"]}, ("*",))
    outward = {name for name, network in document["networks"].items() if not network.get("internal")}
    assert outward == {"edge", "ai-mesh"}
    for name, service in document["services"].items():
        if service.get("ports") and service.get("network_mode") is None:
            assert outward & set(service["networks"]), f"{name} would not be published: all its networks are internal"
