"""The keys that compose knows, what each may hold, and which of them mean nothing without containers.

Owns the table that tells a misspelt key from one that is merely not read here. Adding a key of a newer compose is one
line. What a key's text means in detail is said by whoever reads it.
"""

from __future__ import annotations

from enum import StrEnum

from services.catalog.faults import Findings, close
from services.catalog.tree import Moment, Override, Path, Reset, Row, Table, Value

EXTENSION = "x-hub"
TOP_LEVEL = frozenset({"version", "name", "include", "services", "models", "networks", "volumes", "secrets", "configs"})


class Shape(StrEnum):
    """What a key may hold, in the words of the report."""

    TEXT = "a text"
    NUMBER = "a number"
    FLAG = "true or false"
    TABLE = "a mapping"
    LIST = "a list"
    WORDS = "a text or a list of texts"
    COMMAND = "a text or a list of texts, or null"
    PAIRS = "a mapping, or a list of NAME=value"
    NAMES = "a list of names, or a mapping"
    LIST_OR_TABLE = "a list or a mapping"
    TEXT_OR_TABLE = "a text or a mapping"
    ANYTHING = "anything"


_BY_SHAPE: dict[Shape, str] = {
    Shape.TEXT: """cgroup cgroup_parent container_name cpuset domainname hostname image ipc isolation mac_address
        network_mode pid platform pull_policy pull_refresh_after restart runtime stop_grace_period stop_signal user uts
        userns_mode working_dir""",
    Shape.NUMBER: """cpu_count cpu_percent cpu_shares cpu_quota cpu_period cpu_rt_period cpu_rt_runtime cpus mem_limit
        mem_reservation mem_swappiness memswap_limit oom_score_adj pids_limit scale shm_size""",
    Shape.FLAG: "attach init oom_kill_disable privileged read_only stdin_open tty use_api_socket",
    Shape.TABLE: """blkio_config credential_spec deploy healthcheck logging provider storage_opt ulimits develop""",
    Shape.LIST: """cap_add cap_drop configs device_cgroup_rules devices dns_opt expose external_links group_add links
        ports post_start pre_stop profiles secrets security_opt volumes volumes_from""",
    Shape.WORDS: "dns dns_search env_file label_file tmpfs",
    Shape.COMMAND: "command entrypoint",
    Shape.PAIRS: "annotations environment labels sysctls",
    Shape.NAMES: "depends_on models networks",
    Shape.LIST_OR_TABLE: "extra_hosts",
    Shape.TEXT_OR_TABLE: "build extends",
    Shape.ANYTHING: "gpus",
}
SERVICE: dict[str, Shape] = {key: shape for shape, keys in _BY_SHAPE.items() for key in keys.split()}

_LIMITS = {"cpus": Shape.NUMBER, "memory": Shape.NUMBER}
NESTED: dict[tuple[str, ...], dict[str, Shape]] = {
    ("deploy",): {
        "mode": Shape.TEXT,
        "endpoint_mode": Shape.TEXT,
        "replicas": Shape.NUMBER,
        "labels": Shape.PAIRS,
        "rollback_config": Shape.TABLE,
        "update_config": Shape.TABLE,
        "resources": Shape.TABLE,
        "restart_policy": Shape.TABLE,
        "placement": Shape.TABLE,
    },
    ("deploy", "resources"): {"limits": Shape.TABLE, "reservations": Shape.TABLE},
    ("deploy", "resources", "limits"): {**_LIMITS, "pids": Shape.NUMBER},
    ("deploy", "resources", "reservations"): {
        **_LIMITS,
        "generic_resources": Shape.LIST,
        "devices": Shape.LIST,
    },
    ("healthcheck",): {
        "disable": Shape.FLAG,
        "interval": Shape.TEXT,
        "retries": Shape.NUMBER,
        "test": Shape.WORDS,
        "timeout": Shape.TEXT,
        "start_period": Shape.TEXT,
        "start_interval": Shape.TEXT,
    },
}

_READ = """annotations container_name cpus depends_on deploy env_file environment expose extends healthcheck image
    labels mem_limit mem_reservation ports profiles scale stop_grace_period stop_signal volumes"""
READ = frozenset(_READ.split())
"""What is read here; every other known key is for containers alone."""

WITHOUT_CONTAINERS = {
    "build": "x-hub.local says how the service is installed here",
    "command": "x-hub.local.command says what runs here",
    "entrypoint": "x-hub.local.command says what runs here",
    "networks": "services of this machine reach each other at the gateway",
    "restart": "a replica that ends is started again at the next request",
    "secrets": "name the file in x-hub.local.environment",
    "configs": "name the file in x-hub.local.environment",
}
"""Why some of them mean nothing locally; for the others there is no more to say."""


def check(service: Table, path: Path, findings: Findings) -> Table:
    """Tell every unknown key and every value of a wrong shape; the answer is the service without those."""
    clean: Table | None = None
    for key, value, mark in service.places():
        if key.startswith("x-"):
            if key != EXTENSION and close(key, EXTENSION):
                findings.note(
                    f"{key} is a key of your own, which nobody reads: did you mean {EXTENSION}?", str(path[-1])
                )
            continue
        shape = SERVICE.get(key)
        if shape is None:
            hint = findings.near(key, [*SERVICE, EXTENSION]) or "keys of your own begin with x-"
            findings.at(mark, (*path, key), "a key of a compose service", key, hint)
        elif fits(shape, value) or (key == "deploy" and value is None):
            continue
        else:
            findings.at(mark, (*path, key), str(shape), value)
        clean = service.duplicate() if clean is None else clean
        clean.drop(key)
    clean = service if clean is None else clean
    for inside, known in NESTED.items():
        _check_nested(clean, inside, known, path, findings)
    return clean


def _check_nested(
    service: Table, inside: tuple[str, ...], known: dict[str, Shape], path: Path, findings: Findings
) -> None:
    table: Value = service
    for step in inside:
        table = table.get(step) if isinstance(table, Table) else None
    if not isinstance(table, Table):
        return
    for key, value, mark in table.places():
        if key in known:
            if not fits(known[key], value):
                findings.at(mark, (*path, *inside, key), str(known[key]), value)
        elif not key.startswith("x-"):
            findings.at(mark, (*path, *inside, key), f"one of {', '.join(known)}", key, findings.near(key, known))


def fits(shape: Shape, value: Value) -> bool:
    """Whether a value could be one of that shape; null only where the shape says so."""
    if isinstance(value, Override):
        return fits(shape, value.value)
    if isinstance(value, Reset):
        return True
    match shape:
        case Shape.TEXT:
            return isinstance(value, str)
        case Shape.NUMBER:
            return isinstance(value, str | int | float) and not isinstance(value, bool)
        case Shape.FLAG:
            return isinstance(value, bool) or (isinstance(value, str) and value.lower() in FLAGS)
        case Shape.TABLE:
            return isinstance(value, Table)
        case Shape.LIST:
            return isinstance(value, Row)
        case Shape.WORDS:
            return isinstance(value, str | Row)
        case Shape.COMMAND:
            return value is None or isinstance(value, str | Row)
        case Shape.PAIRS | Shape.NAMES | Shape.LIST_OR_TABLE:
            return isinstance(value, Table | Row)
        case Shape.TEXT_OR_TABLE:
            return isinstance(value, str | Table)
        case Shape.ANYTHING:
            return not isinstance(value, Moment)


FLAGS = {"true": True, "yes": True, "on": True, "y": True, "1": True}
FLAGS |= {"false": False, "no": False, "off": False, "n": False, "0": False}


def flag(value: Value) -> bool:
    """A value that `fits` FLAG."""
    return value if isinstance(value, bool) else FLAGS[str(value).lower()]
