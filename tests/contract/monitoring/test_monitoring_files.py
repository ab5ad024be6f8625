"""The files of monitoring/ and config/: as their own programs read them, and against the services that they name."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.catalog.kong.render import ENVOY_PORT
from services.catalog.load import load
from services.catalog.model import Catalog
from services.scaler.mesh.config.inside import HUB_NAMES
from tests.support import promtool
from tests.support.envoy import envoy_binary

ROOT = Path(__file__).resolve().parents[3]
PROMETHEUS = ROOT / "monitoring" / "prometheus"
RULES = PROMETHEUS / "rules" / "hub.yml"
DASHBOARD = ROOT / "monitoring" / "grafana" / "dashboards" / "hub.json"
_FIGURE = re.compile(r"\baihub_[a-z_]+")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load([ROOT / "docker-compose.distributed-ai.yml"], environ={}, profiles=("monitor",))


def test_prometheus_takes_its_configuration() -> None:
    code, said = promtool.says("promtool", "check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml"))
    assert code == 0, said


def test_prometheus_takes_every_rule_of_alert() -> None:
    code, said = promtool.says("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert code == 0, said


def test_alertmanager_takes_its_configuration() -> None:
    code, said = promtool.says("amtool", "check-config", str(ROOT / "monitoring" / "alertmanager" / "alertmanager.yml"))
    assert code == 0, said


def test_envoy_takes_the_configuration_that_hands_on_figures() -> None:
    file = ROOT / "config" / "envoy" / "metrics.yaml"
    done = subprocess.run(
        [str(envoy_binary()), "--mode", "validate", "-c", str(file), "-l", "error"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def test_every_scraped_address_is_a_service_on_the_network_of_prometheus(catalog: Catalog) -> None:
    document = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "docker-compose.distributed-ai.yml").read_text())["services"]
    targets = [
        target
        for job in document["scrape_configs"]
        if job["job_name"] != "on-demand"
        for group in job["static_configs"]
        for target in group["targets"]
        if not target.startswith("localhost:")
    ]
    assert targets
    for target in targets:
        name = target.partition(":")[0]
        assert name in catalog.services, target
        assert "monitoring" in compose[name]["networks"], target


def test_what_sleeps_is_looked_at_by_the_gateway_on_a_network_of_prometheus_alone(catalog: Catalog) -> None:
    (job,) = (
        one
        for one in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
        if one["job_name"] == "on-demand"
    )
    (group,) = job["static_configs"]
    own = {name for name, service in catalog.services.items() if (service.image or "").startswith("aihub/")}
    assert set(group["targets"]) == {name for name in own if catalog.services[name].lazy}
    assert all(catalog.services[name].path == f"/api/{name}" for name in group["targets"])
    to = {rule["target_label"]: rule["replacement"] for rule in job["relabel_configs"] if "replacement" in rule}
    assert to == {"__metrics_path__": "/api/$1/metrics", "__address__": f"envoy:{ENVOY_PORT}"}
    assert "envoy" in HUB_NAMES
    compose = yaml.safe_load((ROOT / "docker-compose.distributed-ai.yml").read_text())["services"]
    assert set(compose["prometheus"]["networks"]) & set(compose["api-adapter"]["networks"]) == {"edge"}


def test_rules_and_dashboard_speak_of_figures_that_the_hub_has() -> None:
    hub = (ROOT / "services" / "scaler" / "admin" / "hub.py").read_text()
    has = set(re.findall(r'Gauge\("(aihub_[a-z_]+)"', hub))
    wanted = set(_FIGURE.findall(RULES.read_text())) | set(_FIGURE.findall(DASHBOARD.read_text()))
    assert wanted
    assert wanted <= has


def test_every_panel_asks_the_source_that_is_provided() -> None:
    sources = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/datasources/hub.yml").read_text())["datasources"]
    known = {source["uid"] for source in sources}
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [source["uid"] for source in every_source(dashboard)]
    assert asked
    assert set(asked) <= known
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))


def every_source(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "datasource":
                yield value
            yield from every_source(value)
    elif isinstance(part, list):
        for value in part:
            yield from every_source(value)


def test_the_definitions_of_the_queue_hold_no_user_and_no_password() -> None:
    text = (ROOT / "config" / "rabbitmq" / "definitions.json").read_text()
    definitions = json.loads(text)
    assert "users" not in definitions
    assert "password" not in text
    exchanges = {exchange["name"] for exchange in definitions["exchanges"]}
    for policy in definitions["policies"]:
        assert policy["definition"].get("dead-letter-exchange", "tasks") in exchanges
        re.compile(policy["pattern"])


def test_redis_drops_what_has_an_end_alone_and_stays_below_its_limit(catalog: Catalog) -> None:
    lines = dict(
        line.split(maxsplit=1)
        for line in (ROOT / "config" / "redis" / "redis.conf").read_text().splitlines()
        if line and not line.startswith("#")
    )
    limit = catalog.services["redis"].resources.memory_limit
    assert lines["maxmemory-policy"] == "volatile-lru"
    assert limit
    assert int(lines["maxmemory"].removesuffix("mb")) << 20 < limit
    assert lines["protected-mode"] == "yes"
