"""What the shipped catalogue promises of each of its services."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from services.catalog.load import load
from services.catalog.model import Catalog, Package, Tier

CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = CHECKOUT / "catalog" / "locks"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load([CHECKOUT / "docker-compose.distributed-ai.yml"], environ={})


def packages(catalog: Catalog) -> dict[str, Package]:
    return {
        name: service.local.package
        for name, service in catalog.services.items()
        if service.local is not None and service.local.package is not None
    }


def test_at_least_twelve_services_of_others_run_without_docker(catalog: Catalog) -> None:
    assert len(packages(catalog)) >= 12


def test_every_service_says_what_it_is_and_what_it_may_take(catalog: Catalog) -> None:
    for service in catalog.services.values():
        assert service.description, service.name
        assert service.image, service.name
        assert service.resources.memory_limit, service.name
        assert service.resources.cpus, service.name
        assert service.labels["org.opencontainers.image.licenses"], service.name


def test_no_service_is_published_beyond_this_machine_and_none_on_the_port_of_another(catalog: Catalog) -> None:
    published = [publish for service in catalog.services.values() for publish in service.publishes]
    assert {publish.host for publish in published} == {"127.0.0.1"}
    doubled = {number: count for number, count in Counter(p.number for p in published).items() if count > 1}
    assert doubled == {}
    assert all(8000 < publish.number < 32768 for publish in published)


def test_every_service_that_can_run_here_sleeps_and_tells_when_it_is_ready(catalog: Catalog) -> None:
    for service in catalog.services.values():
        if service.local is not None:
            assert service.lazy, service.name
            assert service.health.startswith("/"), service.name
            assert service.tier is Tier.ON_DEMAND, service.name


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
