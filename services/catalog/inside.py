"""Names inside container networks that belong to the gateway: values that a container driver finds out and the mesh
turns into listeners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class InsideNetwork:
    """One network of the engine that lazy services are on."""

    name: str
    """The engine's own name of it, `PROJECT_default`."""
    subnets: tuple[str, ...]
    """`172.18.0.0/16`; by them a gateway on several networks tells where a connection came from."""
    names: Mapping[str, str]
    """What a neighbour calls a service there → the hub's name of the service; several names may mean one."""
    namespace: str = ""
    """Where it is no network but the namespace of one service alone: the file that leads there, as gateways see it."""
    doors: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    """In a namespace: port of the service → the port at which a gateway takes what comes to it."""
