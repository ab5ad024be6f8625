"""What the hub tells Consul and learns from it, put together: the registry, and guests at the gateway.

Nothing of it is imported where no Consul is named.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.catalog.addresses import DOMAIN, Edge
from services.layout import Layout
from services.scaler.control import views
from services.scaler.control.loop import Control
from services.scaler.registry.desired import ConsulAt, Here, hub_name
from services.scaler.registry.foreign import ForeignServices
from services.scaler.registry.standing import Standing, standings

if TYPE_CHECKING:
    from services.scaler.registry.consul_registry import ConsulRegistry

URL, TOKEN, TOKEN_FILE, ADVERTISE = "AIHUB_CONSUL", "AIHUB_CONSUL_TOKEN", "AIHUB_CONSUL_TOKEN_FILE", "AIHUB_ADVERTISE"


@dataclass(frozen=True, slots=True)
class Consul:
    at: ConsulAt
    advertise: str | None = None
    """Address of this machine for others; None: as the gateway listens."""


def consul_of_environment() -> Consul | None:
    """None where nobody has named one. The token comes by environment or file, never by a command line that others can
    read. Raises OSError where the file of the token cannot be read, ValueError for a URL that is none."""
    url = os.environ.get(URL)
    if not url:
        return None
    file = os.environ.get(TOKEN_FILE)
    token = Path(file).read_text().strip() if file else os.environ.get(TOKEN, "")
    at = ConsulAt(url, token)
    at.parts()
    return Consul(at, os.environ.get(ADVERTISE) or None)


def registry_of(
    consul: Consul,
    layout: Layout,
    edge: Edge,
    domain: str | None,
    control: Control,
    take: Callable[[ForeignServices], None],
) -> ConsulRegistry:
    """Told of every change of the fleet from now on."""
    from services.scaler.registry.consul_registry import ConsulRegistry

    here = Here(hub_name(socket.gethostname(), str(layout.data)), edge, domain or DOMAIN, consul.advertise)

    def read() -> Sequence[Standing]:
        return standings(control.fleet.world, views.state, views.reason, control.clock.now())

    registry = ConsulRegistry(consul.at, here, read, take)
    control.watch(registry.changed)
    return registry
