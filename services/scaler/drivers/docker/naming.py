"""Names inside networks: a lazy service's name belongs to the gateway, so its containers stand there without it.

Compose makes a container with its service's name as an alias; here each connection is made anew without aliases, before
the container is started. It keeps that state over stops and starts, and compose does not mend it: only a container that
compose makes anew has its names again. What traffic does not wake (databases) keeps its names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from services.catalog.model import Service
from services.scaler.drivers.docker import intents
from services.scaler.drivers.docker.engine import Engine

_KEPT = ("IPAMConfig", "Links", "MacAddress", "DriverOpts", "GwPriority")
_SHORT_ID = 12


def belongs_to_gateway(service: Service) -> bool:
    """Whether the gateway answers to the service's names."""
    own = service.containers
    return service.lazy and bool(service.http_ports) and own is not None and own.network_mode is None


def is_held(inspected: Mapping[str, Any]) -> bool:
    """Whether it runs in the namespace of another container, and has neither network nor name of its own."""
    return str(inspected["HostConfig"]["NetworkMode"]).startswith("container:")


def named(inspected: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Networks on which the container answers to more than its own name → the connection without those names."""
    own = {str(inspected["Name"]).removeprefix("/"), inspected["Id"][:_SHORT_ID]}
    connections = inspected["NetworkSettings"]["Networks"]
    return {
        network: {key: said[key] for key in _KEPT if said.get(key)}
        for network, said in connections.items()
        if set(said.get("Aliases") or ()) - own
    }


async def take_names(engine: Engine, inspected: Mapping[str, Any], wanted: Collection[str]) -> bool:
    """See to it that the container stands on its networks without names; whether anything had to be done. `wanted`:
    engine's names of the networks it belongs to; one that was lost in the midst of this is connected again. Raises
    EngineRefused, EngineAway."""
    container = inspected["Id"]
    anew = named(inspected)
    lost: dict[str, dict[str, Any]] = {
        name: {} for name in wanted if name not in inspected["NetworkSettings"]["Networks"]
    }
    for network in anew:
        await intents.disconnect(engine, container, network)
    for network, endpoint in {**lost, **anew}.items():
        await intents.connect(engine, container, network, endpoint)
    return bool(anew or lost)
