"""The table at the end of a deploy: where everything is, how to sign in, lines to try. Pure.

Passwords are never printed: the table names the variable of `.env` that holds each.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.deploy import plan
from services.deploy.plan import Env


@dataclass(frozen=True, slots=True)
class Door:
    """Something people open. `numbers`: ports inside the container, of which the first that is published counts."""

    service: str
    title: str
    numbers: tuple[int, ...]
    user: str = ""
    secret: str = ""
    """Variable of the password."""
    only_in: Env | None = None
    """Where it asks for that password; None: everywhere."""


_GATEWAY = "kong"
_KEY = "HUB_GATEWAY_KEY"
_DOORS = (
    Door(_GATEWAY, "gateway", (8443, 8000), "header apikey", _KEY, Env.PROD),
    Door(_GATEWAY, "Kong admin", (8001,)),
    Door("consul", "Consul", (8500,), "token", "HUB_CONSUL_MANAGEMENT_TOKEN", Env.PROD),
    Door("rabbitmq", "RabbitMQ", (15672,), "hub", "HUB_RABBITMQ_PASSWORD"),
    Door("grafana", "Grafana", (3000,), "hub", "HUB_GRAFANA_PASSWORD"),
    Door("prometheus", "Prometheus", (9090,)),
    Door("jaeger", "Jaeger", (16686,)),
)


def table(resolved: plan.Resolved, running: Collection[str], env: Env, domain: str) -> list[str]:
    """Of what runs and can be reached from this machine; empty where that is nothing."""
    rows = []
    for door in _DOORS:
        url = address(resolved, door, env, domain) if door.service in running else None
        if url:
            asks = door.secret and door.only_in in (None, env)
            rows.append([door.title, url, f"{door.user}, ${door.secret} in .env" if asks else "-"])
    return _columns(["WHAT", "WHERE", "SIGN IN"], rows) if rows else []


def to_try(resolved: plan.Resolved, running: Collection[str], env: Env, domain: str) -> list[str]:
    """Lines for a shell; each works now."""
    if _GATEWAY not in running:
        return []
    base = address(resolved, _DOORS[0], env, domain)
    if base is None:
        return []
    key = ""
    lines = []
    if env is Env.PROD:
        key = '-k -H "apikey: $KEY" '
        lines.append(f"KEY=$(sed -n 's/^{_KEY}=//p' .env)    # -k below: only while the certificate is self-made")
    lines.append(f"curl {'-k ' if key else ''}{base}/api/health    # the state of each service; wakes nothing")
    services = resolved.get("services", {})
    if "hello" in services:
        lines.append(f"curl {key}{base}/api/hello/")
    if "chroma" in services:
        lines.append(f"curl {key}{base}/api/chroma/api/v2/heartbeat    # the first request starts it")
        if "consul" in running and env is Env.DEV:
            lines.append("curl http://localhost:8500/v1/health/service/chroma    # where it is, while it is awake")
    return lines


def address(resolved: plan.Resolved, door: Door, env: Env, domain: str) -> str | None:
    """As people of this machine type it; None where it is not published."""
    public = door.service == _GATEWAY and env is Env.PROD and 8443 in door.numbers
    for target in door.numbers:
        for port in resolved["services"].get(door.service, {}).get("ports") or ():
            if int(port.get("target") or 0) != target or not port.get("published"):
                continue
            number = int(port["published"])
            scheme, host = ("https", domain) if public else ("http", "localhost")
            return f"{scheme}://{host}" + ("" if (scheme, number) == ("https", 443) else f":{number}")
    return None


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]
