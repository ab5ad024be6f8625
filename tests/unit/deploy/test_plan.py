"""Phases are read off the resolved compose file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.deploy.plan import (
    Phase,
    Published,
    bound_files,
    images,
    kept_awake,
    lazy_services,
    memory_reserved,
    needing_images,
    option,
    published,
    services_of,
)

RESOLVED: dict[str, Any] = {
    "services": {
        "redis": {"image": "redis:8", "x-hub": {"tier": "infra"}, "ports": [{"target": 6379}]},
        "ollama": {
            "image": "ollama/ollama:0.1",
            "x-hub": {"tier": "persistent"},
            "deploy": {"resources": {"reservations": {"memory": "2147483648"}}},
            "ports": [{"target": 1, "published": "11434", "host_ip": "127.0.0.1"}, {"target": 2, "published": "1-9"}],
        },
        "plain": {"build": {"context": "."}},
        "tabby": {"image": "tabby:1", "profiles": ["on-demand"], "ports": [{"target": 80, "published": "81"}]},
        "zero": {"image": "zero:1", "deploy": {"replicas": 0}},
        "grafana": {"image": "grafana:1", "profiles": ["monitor"], "ports": [{"target": 3000, "published": "3000"}]},
    }
}


def test_each_phase_has_its_services_and_what_is_on_demand_has_none() -> None:
    assert services_of(RESOLVED, Phase.INFRA) == ("redis",)
    assert services_of(RESOLVED, Phase.AI) == ("ollama", "plain")
    assert services_of(RESOLVED, Phase.MONITOR) == ("grafana",)
    assert services_of(RESOLVED, Phase.ALL) == ("redis", "ollama", "plain", "grafana")
    assert lazy_services(RESOLVED) == ("tabby", "zero")


def test_images_of_what_is_on_demand_are_needed_as_soon_as_requests_can_wake_it() -> None:
    assert needing_images(RESOLVED, Phase.INFRA) == ("redis", "tabby", "zero")
    assert needing_images(RESOLVED, Phase.MONITOR) == ("grafana",)
    assert set(needing_images(RESOLVED, Phase.ALL)) == {"redis", "ollama", "plain", "grafana", "tabby", "zero"}


def test_only_fixed_ports_of_the_host_have_to_be_free() -> None:
    names = services_of(RESOLVED, Phase.ALL)
    assert list(published(RESOLVED, names)) == [
        Published("ollama", "127.0.0.1", 11434),
        Published("grafana", "0.0.0.0", 3000),
    ]
    assert images(RESOLVED, names) == {"redis": "redis:8", "ollama": "ollama/ollama:0.1", "grafana": "grafana:1"}
    assert memory_reserved(RESOLVED, names) == 2 << 30


def test_the_hub_itself_keeps_some_awake() -> None:
    lazy = {"profiles": ["on-demand"]}
    services = {
        "chroma": {**lazy, "x-hub": {"scaling": {"min_replicas": "1"}}},
        "ollama": {**lazy, "x-hub": {"scaling": {"min_replicas": "0"}}},
        "n8n": {"x-hub": {"scaling": {"min_replicas": 1}}},
        "tabby": lazy,
    }
    assert kept_awake({"services": services}) == ("chroma",)


def test_the_hubs_own_address_and_what_a_service_reads_are_found() -> None:
    mounts = [
        {"type": "bind", "source": "/co/config/a.conf"},
        {"type": "bind", "source": "/proc"},
        {"type": "volume", "source": "config"},
    ]
    resolved: dict[str, Any] = {"services": {"scaler": {"command": ["up", "--listen=1.2.3.4:5"], "volumes": mounts}}}
    assert option(resolved, "scaler", "--listen") == "1.2.3.4:5"
    assert option(resolved, "scaler", "--domain") is None
    assert option(resolved, "other", "--listen") is None
    assert bound_files(resolved, "scaler", [Path("/co/config"), Path("/co/data")]) == [Path("/co/config/a.conf")]
    assert Phase.ALL.parts == (Phase.INFRA, Phase.AI, Phase.MONITOR)
