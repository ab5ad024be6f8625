"""The override that makes services of a compose project lazy: what it says, and its text. Pure.

For each lazy service: the profile `on-demand`, no restart by the engine, no published ports and no container name (both
belong to the gateway, and the container gets the name that compose makes up). For each that depends on one and starts
without it: `required: false`. Nothing else changes, and nothing is said that the files say already; a service whose
files were overridden before hence keeps its hash.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import yaml

from services.catalog.tree import Override, Reset, Row
from services.compose.holding import handed_over

ON_DEMAND = "on-demand"
_STARTED = "service_started"
_NONE: Mapping[str, str] = MappingProxyType({})


def override(resolved: Mapping[str, Any], lazy: Collection[str], holders: Mapping[str, str] = _NONE) -> dict[str, Any]:
    """What has to be said over the project; empty where nothing has.

    `resolved`: the project as compose has it (`docker compose config`) or as its merged files do. `lazy`: names in it.
    `holders`: of these, those that run in the namespace of a container of ours → its name.
    Values may be the catalogue's `Reset` and `Override`, which `text` writes as compose's tags.
    """
    services: dict[str, Any] = {}
    for name, service in (resolved.get("services") or {}).items():
        said = dict(_of_lazy(service)) if name in lazy else {}
        if name in holders:
            said |= handed_over(service, holders[name])
        if dependencies := _loosened(service, lazy, is_lazy=name in lazy):
            said["depends_on"] = dependencies
        if said:
            services[name] = said
    return {"services": services} if services else {}


def text(document: Mapping[str, Any], header: str) -> str:
    """YAML, the same for the same document. `header`: lines of comment without their `#`."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    body = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return comment + body


def _of_lazy(service: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if ON_DEMAND not in (service.get("profiles") or ()):
        said["profiles"] = [ON_DEMAND]
    if service.get("restart") not in (None, "no", False):
        said["restart"] = "no"
    if service.get("container_name"):
        said["container_name"] = Reset()
    if ports := service.get("ports"):
        # The gateway carries no datagrams: those ports stay the container's own.
        others = [port for port in ports if _protocol(port) != "tcp"]
        if len(others) < len(ports):
            said["ports"] = _instead(others) if others else Reset()
    deploy: dict[str, Any] = {}
    if _none("replicas", service.get("deploy")):
        # Zero would have the next `up NAME` by hand remove the container.
        deploy["replicas"] = 1
    if (service.get("deploy") or {}).get("restart_policy"):
        deploy["restart_policy"] = Reset()
    if deploy:
        said["deploy"] = deploy
    if _none("scale", service):
        said["scale"] = 1
    return said


def _loosened(service: Mapping[str, Any], lazy: Collection[str], *, is_lazy: bool) -> dict[str, Any]:
    """Entries of `depends_on` that compose may find disabled: without `required: false` it refuses the whole file."""
    if is_lazy and not set(service.get("profiles") or ()) - {ON_DEMAND}:
        # It has the profile on-demand alone, and with it those it depends on are there.
        return {}
    found: dict[str, Any] = {}
    for name, entry in _dependencies(service.get("depends_on")).items():
        if name in lazy and entry.get("required", True):
            found[name] = {"condition": entry.get("condition", _STARTED), "required": False}
    for name in _links(service):
        # Compose makes a dependency of each link itself.
        if name in lazy and name not in _dependencies(service.get("depends_on")):
            found[name] = {"condition": _STARTED, "required": False}
    return found


def _dependencies(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return {name: entry or {} for name, entry in value.items()}
    return {name: {} for name in value or ()}


def _links(service: Mapping[str, Any]) -> list[str]:
    return [str(link).partition(":")[0] for link in service.get("links") or ()]


def _none(key: str, where: Any) -> bool:
    """Whether a count of zero stands there."""
    return isinstance(where, Mapping) and where.get(key) is not None and str(where[key]) == "0"


def _protocol(port: Any) -> str:
    if isinstance(port, Mapping):
        return str(port.get("protocol", "tcp"))
    return str(port).partition("/")[2] or "tcp"


class _Dumper(yaml.SafeDumper):
    """Knows compose's tags, repeats values instead of naming them, and indents lists as people do."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _instead(ports: list[Any]) -> Override:
    row = Row()
    row.extend(ports)
    return Override(row)


def _reset(dumper: yaml.SafeDumper, value: Reset) -> yaml.Node:
    return dumper.represent_sequence("!reset", [], flow_style=True)


def _replaced(dumper: yaml.SafeDumper, value: Override) -> yaml.Node:
    node = dumper.represent_data(value.value)
    node.tag = "!override"
    return node


_Dumper.add_representer(Reset, _reset)
_Dumper.add_representer(Override, _replaced)
_Dumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)
_Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)
_Dumper.add_multi_representer(str, yaml.SafeDumper.represent_str)
