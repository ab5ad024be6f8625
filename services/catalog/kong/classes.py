"""Route classes: what a caller may ask how often, how large, and with or without a key.

Owns every number of the public edge. A limit counts for one caller, one service and one class; nothing here knows how
Kong writes it down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.catalog import units
from services.catalog.model import Service

UPLOAD_LABEL = "kong.upload"
"""Label of a service that takes larger bodies than its class: `kong.upload: 4G`."""
PUBLIC_LABEL = "kong.public"
"""Label of a service of the tier infra that the public edge leads to all the same: `kong.public: "true"`."""
_MEGABYTE = 2**20


class RouteClass(StrEnum):
    API = "api"
    """Programs: `/api/NAME`, and hosts of services without pages."""
    PAGES = "pages"
    """People: hosts of services with pages; one page loads dozens of files at once."""
    GRPC = "grpc"
    """Programs that speak gRPC."""
    HEALTH = "health"
    """Monitors: answered by the hub, wakes nothing, needs no key."""
    SETTINGS = "settings"
    """What changes the hub itself; slow enough that nobody guesses a token."""


@dataclass(frozen=True, slots=True)
class Limits:
    second: int | None
    minute: int
    upload: int | None
    """Largest body in megabytes (2^20 bytes); None: not looked at, as whoever counts a stream must first swallow it."""
    key: bool = True
    """Whether a caller needs a key (in prod)."""


LIMITS = {
    RouteClass.API: Limits(20, 600, upload=128),
    RouteClass.PAGES: Limits(100, 3000, upload=1024),
    RouteClass.GRPC: Limits(20, 600, upload=None),
    RouteClass.HEALTH: Limits(20, 600, upload=1, key=False),
    RouteClass.SETTINGS: Limits(None, 5, upload=1),
}


def is_public(service: Service) -> bool:
    """Whether its label opens it. Raises ValueError, which names service and label, where the label is neither true nor
    false."""
    said = service.labels.get(PUBLIC_LABEL, "false")
    if said not in ("true", "false"):
        raise ValueError(f"services.{service.name}.labels.{PUBLIC_LABEL}: true or false, not {said!r}")
    return said == "true"


def upload(service: Service, route_class: RouteClass) -> int | None:
    """Megabytes that one request to the service may hold: what the class allows, or what its label asks for beyond it.

    Raises ValueError, which names service and label, where the label is no size.
    """
    allowed, wanted = LIMITS[route_class].upload, service.labels.get(UPLOAD_LABEL)
    if allowed is None or wanted is None or route_class is RouteClass.HEALTH:
        return allowed
    try:
        asked = units.size(wanted)
    except ValueError as error:
        raise ValueError(f"services.{service.name}.labels.{UPLOAD_LABEL}: {error}, not {wanted!r}") from None
    return max(allowed, -(-asked // _MEGABYTE))
