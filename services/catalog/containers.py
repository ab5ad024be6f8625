"""What a container driver asks of a service: its networks and names there, and whose very container it needs.

Owns reading that from the service's text; local runs have no use for it. What follows from it, who can be lazy and who
cannot, is said by the library on compose files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from services.catalog.faults import Findings
from services.catalog.merge import as_names
from services.catalog.model import Containers
from services.catalog.ports import parse_ports
from services.catalog.tree import Path, Row, Table, Value

DEFAULT_NETWORK = "default"
_SHARED = ("network_mode", "ipc", "pid")
_SERVICE = "service:"


def containers(name: str, raw: Table, project: str, path: Path, findings: Findings) -> Containers:
    mode, own = raw.get("network_mode"), raw.get("container_name")
    ports = raw.get("ports")
    mapped = parse_ports(ports, (*path, "ports"), Findings()) if isinstance(ports, Row) else ()
    return Containers(
        stack=project,
        name=name,
        networks=MappingProxyType({} if mode else dict(_networks(raw.get("networks"), path, findings))),
        priorities=MappingProxyType(dict(_priorities(raw.get("networks")))),
        container_name=own if isinstance(own, str) else None,
        network_mode=mode if isinstance(mode, str) else None,
        bound_to=tuple(dict.fromkeys(_bound_to(raw))),
        datagrams=any(port.protocol != "tcp" for port in mapped),
    )


def ends(raw: Table) -> bool:
    """Whether the engine leaves a container of it as it is, once it has ended with 0."""
    said = raw.get("restart")
    if said is None:
        deploy = raw.get("deploy")
        policy = deploy.get("restart_policy") if isinstance(deploy, Table) else None
        said = policy.get("condition", "any") if isinstance(policy, Table) else "no"
    return str(said).partition(":")[0] not in ("always", "unless-stopped", "any")


def _networks(value: Value, path: Path, findings: Findings) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for network, entry, mark in as_names(value, (*path, "networks")).places():
        aliases = entry.get("aliases") if isinstance(entry, Table) else None
        if entry is not None and not isinstance(entry, Table):
            findings.at(mark, (*path, "networks", network), "a mapping, or nothing", entry)
        found[network] = tuple(a for a in aliases if isinstance(a, str)) if isinstance(aliases, Row) else ()
    return found or {DEFAULT_NETWORK: ()}


def _priorities(networks: Value) -> Iterator[tuple[str, int]]:
    for name, entry in networks.items() if isinstance(networks, Table) else ():
        said = entry.get("gw_priority") if isinstance(entry, Table) else None
        if isinstance(said, int):
            yield name, said


def _bound_to(raw: Table) -> Iterator[str]:
    for key in _SHARED:
        said = raw.get(key)
        if isinstance(said, str) and said.startswith(_SERVICE):
            yield said.removeprefix(_SERVICE)
    for said in _texts(raw.get("volumes_from")):
        if not said.startswith("container:"):
            yield said.partition(":")[0]
    for said in _texts(raw.get("links")):
        other, _, alias = said.partition(":")
        # A link under the name that the service has anyway is found by name, as everything is.
        if alias and alias != other:
            yield other


def _texts(value: Value) -> Iterator[str]:
    if isinstance(value, Row):
        yield from (item for item in value if isinstance(item, str))
