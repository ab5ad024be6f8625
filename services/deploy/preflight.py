"""What must hold of this machine before a phase is brought up; each finding says how to mend it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.deploy import docker, plan
from services.deploy.docker import DockerFault, Engine
from services.supervisor import ports
from services.supervisor.config import Listen, SupervisorError

_OLDEST_API = (1, 41)
_OLDEST_COMPOSE = (2, 24)
"""`!reset` and `!override` in the override files."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_DISK_FLOOR, _DISK_WISH = 5 << 30, 30 << 30
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    detail: str
    ok: bool = True
    remedy: str = ""
    fatal: bool = True
    """Whether the phase cannot come up with it."""
    is_port: bool = False


def of_docker() -> tuple[Engine | None, list[Finding]]:
    """Whether there is an engine and a compose to work with; the rest can only be looked at with them."""
    try:
        engine = docker.engine()
        compose = docker.compose_version()
    except DockerFault as fault:
        return None, [Finding("docker", str(fault), False, fault.remedy)]
    found = [Finding("docker", f"engine {engine.version}, API {_dotted(engine.api)}, {engine.architecture}")]
    if engine.api < _OLDEST_API:
        found = [
            Finding("docker", f"engine {engine.version} is too old", False, "Install Docker Engine 20.10 or newer.")
        ]
    text = _dotted(compose)
    if compose < _OLDEST_COMPOSE:
        wanted = f"Install version {_dotted(_OLDEST_COMPOSE)} or newer (docs.docker.com/compose/install)."
        found.append(Finding("compose", f"version {text} is too old", False, wanted))
    else:
        found.append(Finding("compose", f"version {text}"))
    return engine, found


def of_machine(engine: Engine, resolved: plan.Resolved, names: Sequence[str]) -> Iterator[Finding]:
    yield _memory(plan.memory_reserved(resolved, names))
    yield _disk(engine)
    yield from _architectures(engine, resolved, names)
    yield from _ports(resolved, names)


def _memory(reserved: int) -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    detail = f"{total / _GIB:.1f} GiB; what is always on reserves {reserved / _GIB:.1f} GiB"
    if reserved > total:
        return Finding(
            "memory", detail, False, "Bring up fewer phases here, or lower the reservations in the compose file."
        )
    return Finding("memory", detail)


def _disk(engine: Engine) -> Finding:
    folder = Path(engine.folder)
    if not folder.exists():  # an engine on another machine
        return Finding("disk", f"{folder} is not on this machine; not looked at")
    free = shutil.disk_usage(folder).free
    detail = f"{free / _GIB:.0f} GiB free for images in {folder}"
    if free < _DISK_FLOOR:
        return Finding("disk", detail, False, "Free some: docker image prune, docker builder prune.")
    if free < _DISK_WISH:
        return Finding("disk", detail, False, "The larger services have images of 5 to 20 GiB.", fatal=False)
    return Finding("disk", detail)


def _architectures(engine: Engine, resolved: plan.Resolved, names: Sequence[str]) -> Iterator[Finding]:
    here = _MACHINES.get(engine.architecture, engine.architecture)
    for name, image in plan.images(resolved, names).items():
        built_for = docker.image_architecture(image)
        if built_for is not None and built_for != here:
            remedy = f"Remove it and pull one for {here}: docker image rm {image}"
            yield Finding("image", f"{image} of {name} is for {built_for}, this engine runs {here}", False, remedy)


def _ports(resolved: plan.Resolved, names: Sequence[str]) -> Iterator[Finding]:
    own = resolved.get("name", "")
    held = docker.port_holders()
    taken = 0
    wanted = list(plan.published(resolved, names))
    for port in wanted:
        container = held.get(port.number)
        if container is not None and container.startswith(f"{own}-"):
            continue
        try:
            ports.check_free(Listen(port.host, port.number))
        except SupervisorError as error:
            taken += 1
            by = f" by the container {container}" if container else ""
            detail = (
                f"{port.host}:{port.number}, which {port.service} wants, is taken{by}"
                if by
                else str(error).partition("\n")[0]
            )
            remedy = (
                f"docker stop {container}"
                if container
                else f"Free it, or change the port of {port.service} in the compose file."
            )
            yield Finding("port", f"{detail} ({port.service})" if not by else detail, False, remedy, is_port=True)
    if not taken:
        yield Finding("ports", f"{len(wanted)} to publish, all free or ours")


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
