"""The addresses a service has at the gateway, for people and for programs: computed in one place, shown in many."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from services.catalog.model import Catalog, Service

IPAddress = IPv4Address | IPv6Address
DOMAIN = "localhost"
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")


def is_domain(text: str) -> bool:
    """Whether it can stand in the Host header of requests to this machine: a DNS name in small letters, an address."""
    return _DOMAIN.match(text) is not None


@dataclass(frozen=True, slots=True)
class Edge:
    """Where the gateway listens, as its users see it."""

    host: str = "127.0.0.1"
    port: int = 8000
    tls: bool = False

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def loopback(self) -> str:
        """A host by which programs on this machine reach the gateway."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "::", "localhost") else self.host


@dataclass(frozen=True, slots=True)
class Addresses:
    api: str
    """`http://localhost:8000/api/NAME`, for programs."""
    origin: str
    """`http://NAME.localhost:8000`, for people."""
    own: str | None
    """`http://127.0.0.1:PORT`, the first published port; None where the service has none."""
    internal: str
    """What programs on this machine should use: `own`, else the path through the gateway; needs no DNS."""


def addresses(service: Service, edge: Edge) -> Addresses:
    published = (*service.publishes, *(service.containers.published if service.containers else ()))
    own = next((p for p in published if service.main and p.port == service.main.name), None)
    own_url = f"http://{_reachable(own.host)}:{own.number}" if own else None
    return Addresses(
        api=f"{edge.scheme}://localhost:{edge.port}{service.path}",
        origin=f"{edge.scheme}://{service.name}.{DOMAIN}:{edge.port}",
        own=own_url,
        internal=own_url or f"{edge.scheme}://{edge.loopback}:{edge.port}{service.path}",
    )


def all_addresses(catalog: Catalog, edge: Edge) -> Mapping[str, Addresses]:
    return {name: addresses(service, edge) for name, service in catalog.services.items()}


def collide(one: IPAddress, other: IPAddress) -> bool:
    """Whether nobody can listen at both on one port: one is the other, or all of its family."""
    return one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified)


def _reachable(host: str) -> str:
    if host in ("", "0.0.0.0"):
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host
