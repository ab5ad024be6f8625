"""What a file means is what compose says it means: every case is read by both, and the answers are held together."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.catalog.faults import Findings
from services.catalog.load import CatalogError, CatalogReader
from services.catalog.model import Catalog, Service
from services.catalog.ports import parse_expose, parse_ports
from services.catalog.project import ProjectReader
from services.catalog.store import Store
from services.catalog.tree import Row, Table
from services.catalog.units import duration_text, seconds
from tests.contract.catalog.compose_cases import AGREED, REFUSED, Case
from tests.support import compose_plugin

pytestmark = pytest.mark.compose


def _laid(case: Case, folder: Path) -> dict[str, str]:
    for name, text in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {"HOME": "/home/somebody", "PATH": "/usr/bin:/bin", **case.environ}


def _ours(case: Case, folder: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setenv("HOME", environ["HOME"])
    reader = CatalogReader(environ=environ, profiles=case.profiles or None)
    return reader.read([folder / name for name in case.order])


@pytest.mark.parametrize("case", AGREED, ids=lambda case: case.name.replace(" ", "-"))
def test_compose_and_we_read_the_same(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = _laid(case, tmp_path)
    theirs = compose_plugin.config(case.order, tmp_path, environ, case.profiles)["services"]
    ours = _ours(_with_ports(case, tmp_path, theirs), tmp_path, environ, monkeypatch)
    assert sorted(ours.services) == sorted(theirs)
    for name, service in ours.services.items():
        assert _said_by_us(service) == _said_by_compose(theirs[name]), name
    assert _ports_by_us(case, tmp_path, environ, theirs) == {
        name: _ports_by_compose(one) for name, one in theirs.items()
    }


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name.replace(" ", "-"))
def test_what_compose_refuses_we_refuse(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = _laid(case, tmp_path)
    with pytest.raises(compose_plugin.Refused):
        compose_plugin.config(case.order, tmp_path, environ, case.profiles)
    with pytest.raises(CatalogError) as caught:
        _ours(case, tmp_path, environ, monkeypatch)
    assert str(tmp_path) in caught.value.faults[0].file


def _with_ports(case: Case, folder: Path, names: Iterable[str]) -> Case:
    """Each service with a main port said outright, so that no rule of ours is in the way of the comparison."""
    (folder / "hub.yml").write_text(json.dumps({"services": {name: {"x-hub": {"port": 7}} for name in names}}))
    return replace(case, order=(*case.order, "hub.yml"))


def _said_by_us(service: Service) -> dict[str, Any]:
    return {
        "image": service.image,
        "environment": dict(service.environment),
        "labels": dict(service.labels),
        "volumes": [(v.source, v.target, v.read_only, v.named) for v in service.volumes],
        "depends_on": {d.service: (str(d.condition), d.required) for d in service.depends_on},
        "memory": service.resources.memory_limit,
        "reserved": service.resources.memory_reservation,
        "cpus": service.resources.cpus,
        "grace": service.stop_grace,
        "signal": service.stop_signal,
    }


def _said_by_compose(service: dict[str, Any]) -> dict[str, Any]:
    environment = {k: _plain(v) for k, v in service.get("environment", {}).items() if v is not None}
    resources = service.get("deploy", {}).get("resources", {})
    limits, reserved = resources.get("limits", {}), resources.get("reservations", {})
    memory = limits.get("memory") or service.get("mem_limit")
    kept = reserved.get("memory") or service.get("mem_reservation")
    return {
        "image": service.get("image"),
        "environment": environment,
        "labels": {key: _plain(value) for key, value in service.get("labels", {}).items()},
        "volumes": [
            (v.get("source", ""), v["target"], v.get("read_only", False), v["type"] == "volume")
            for v in service.get("volumes", [])
            if v["type"] in ("bind", "volume")
        ],
        "depends_on": {
            name: (entry["condition"], entry["required"]) for name, entry in service.get("depends_on", {}).items()
        },
        "memory": int(memory) if memory else None,
        "reserved": int(kept) if kept else None,
        "cpus": limits.get("cpus") or service.get("cpus"),
        "grace": seconds(service.get("stop_grace_period", duration_text(10))),
        "signal": service.get("stop_signal", "SIGTERM"),
    }


def _plain(text: str) -> str:
    """Compose writes `$` as `$$`, since its output is a compose file again."""
    return text.replace("$$", "$")


def _ports_by_us(case: Case, folder: Path, environ: dict[str, str], names: Iterable[str]) -> dict[str, Any]:
    """Before anything of `x-hub` picks from them."""
    findings = Findings()
    project = ProjectReader(Store()).read([folder / name for name in case.order], environ, findings)
    found: dict[str, Any] = {}
    for name in names:
        raw = project.services[name]
        assert isinstance(raw, Table)
        ports, expose = raw.get("ports", Row()), raw.get("expose", Row())
        assert isinstance(ports, Row)
        assert isinstance(expose, Row)
        mapped = [(p.target, p.published, p.host, p.protocol) for p in parse_ports(ports, (), findings)]
        found[name] = (mapped, list(parse_expose(expose, (), findings)))
    assert not findings.faults
    return found


def _ports_by_compose(service: dict[str, Any]) -> Any:
    mapped = [
        (p["target"], p.get("published", ""), p.get("host_ip", ""), p["protocol"]) for p in service.get("ports", [])
    ]
    exposed: list[int] = []
    for text in service.get("expose", []):
        number, _, protocol = text.partition("/")
        first, _, last = number.partition("-")
        if protocol in ("", "tcp"):
            exposed.extend(range(int(first), int(last or first) + 1))
    return mapped, exposed
