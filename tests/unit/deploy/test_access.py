"""The table at the end of a deploy, and lines that work."""

from __future__ import annotations

from typing import Any

from services.deploy.access import table, to_try
from services.deploy.plan import Env


def published(target: int, number: int) -> dict[str, Any]:
    return {"target": target, "published": str(number), "host_ip": "127.0.0.1"}


DEV: dict[str, Any] = {
    "services": {
        "kong": {"ports": [published(8000, 8000), published(8001, 8001)]},
        "consul": {"ports": [published(8500, 8500)]},
        "rabbitmq": {"ports": [published(15672, 15672)]},
        "grafana": {"ports": [published(3000, 3000)]},
        "hello": {},
        "chroma": {},
    }
}
PROD: dict[str, Any] = {
    "services": {"kong": {"ports": [published(8443, 443)]}, "consul": {"ports": [published(8500, 8500)]}, "hello": {}}
}


def test_only_what_is_up_is_in_the_table() -> None:
    rows = table(DEV, {"kong", "consul"}, Env.DEV, "localhost")
    assert [row.split("  ")[0] for row in rows] == ["WHAT", "gateway", "Kong admin", "Consul"]
    assert "http://localhost:8000" in rows[1]
    assert table(DEV, set(), Env.DEV, "localhost") == []
    assert to_try(DEV, {"consul"}, Env.DEV, "localhost") == []


def test_passwords_are_named_and_not_told() -> None:
    rows = table(DEV, {"rabbitmq", "grafana", "consul"}, Env.DEV, "localhost")
    assert rows[1].endswith("-"), "Consul asks for nothing in dev"
    assert rows[2].endswith("hub, $HUB_RABBITMQ_PASSWORD in .env")
    assert rows[3].endswith("hub, $HUB_GRAFANA_PASSWORD in .env")


def test_in_production_the_gateway_is_the_domain_and_wants_a_key() -> None:
    rows = table(PROD, {"kong", "consul"}, Env.PROD, "hub.example.org")
    assert rows[1].split() == [
        "gateway",
        "https://hub.example.org",
        "header",
        "apikey,",
        "$HUB_GATEWAY_KEY",
        "in",
        ".env",
    ]
    lines = to_try(PROD, {"kong"}, Env.PROD, "hub.example.org")
    assert 'curl -k -H "apikey: $KEY" https://hub.example.org/api/hello/' in lines
    assert lines[0].startswith("KEY=$(sed -n 's/^HUB_GATEWAY_KEY=//p' .env)")
