"""The access table: every service with its state, its addresses, its size and how long a first request would wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.cli import words

_HELLO = "hello"


def origin(status: Mapping[str, Any]) -> str:
    """Scheme, host and port of the gateway, taken from what the hub tells of its services."""
    for service in status["services"].values():
        scheme, _, rest = service["addresses"]["api"].partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"
    return f"http://{status['listen']}"


def speaks_http(service: Mapping[str, Any]) -> bool:
    """Whether the gateway answers for it at all."""
    return bool(service.get("http", True))


def table(status: Mapping[str, Any]) -> str:
    services: Mapping[str, Any] = status["services"]
    here = {name: service for name, service in services.items() if service["state"] != "unavailable"}
    rows = [
        [
            name,
            service["state"],
            service["addresses"]["api"] if speaks_http(service) else "-",
            service["addresses"]["origin"] if service.get("web") else service["addresses"].get("own") or "-",
            words.size(service.get("size_bytes")),
            first_wake(service),
        ]
        for name, service in here.items()
    ]
    lines = [words.table(["SERVICE", "STATE", "FOR PROGRAMS", "FOR PEOPLE", "MEMORY", "FIRST ANSWER"], rows)]
    elsewhere = sorted(set(services) - set(here))
    if elsewhere:
        lines.append(f"\nNot on this machine (`aihub explain NAME` says why): {', '.join(elsewhere)}")
    return "\n".join(lines)


def first_wake(service: Mapping[str, Any]) -> str:
    expected, install = service.get("expected_wake_s"), service.get("install_bytes", 0)
    start = "not known yet"
    if expected is not None:
        start = words.span(expected) if expected >= 0.001 else "at once"
    if install == 0:
        return start
    missing = f"{words.size(install)} to install" if install else "installs first"
    return f"{start}, {missing}"


def to_try(status: Mapping[str, Any]) -> list[str]:
    """Three lines for curl; the first answers soonest."""
    base = origin(status)
    services: Mapping[str, Any] = status["services"]
    usable = [name for name, service in services.items() if service["state"] != "unavailable" and speaks_http(service)]
    curl = "curl -k" if base.startswith("https") else "curl"
    lines = [f"{curl} {services[_HELLO]['addresses']['api']}/"] if _HELLO in usable else []
    if "chroma" in usable:
        lines.append(
            f"{curl} {services['chroma']['addresses']['api']}/api/v2/heartbeat    # installs it, the first time"
        )
    others = [name for name in usable if name not in (_HELLO, "chroma")]
    lines += [f"{curl} {services[name]['addresses']['api']}/" for name in others[: 2 - len(lines)]]
    return [*lines, f"{curl} {base}/api/health    # the state of each; wakes nothing"]


def tell(status: Mapping[str, Any]) -> str:
    return "\n".join([table(status), "", "To try:", *(f"  {line}" for line in to_try(status))])
