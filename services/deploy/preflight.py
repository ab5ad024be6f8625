"""What must hold of this machine before a phase is brought up; each finding says how to mend it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services.deploy import built, credentials, docker, plan, wanted_ports
from services.deploy.docker import DockerFault, Engine
from services.deploy.finding import Finding
from services.layout import Layout
from services.supervisor import lock
from services.supervisor.config import SupervisorError

_OLDEST_API = (1, 41)
_OLDEST_COMPOSE = (2, 24)
"""`!reset` and `!override` in the override files."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_DISK_FLOOR, _DISK_WISH = 5 << 30, 30 << 30
_GIB = 1 << 30


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


def of_machine(
    engine: Engine, project: str, layout: Layout, resolved: plan.Resolved, names: Sequence[str]
) -> Iterator[Finding]:
    """What hinders these services of the project."""
    yield _memory(plan.memory_reserved(resolved, names))
    yield _disk(engine)
    yield from _data(layout)
    yield from _builder(resolved, (*names, *plan.lazy_services(resolved)))
    yield from _architectures(engine, resolved, names)
    yield from wanted_ports.of(project, layout, resolved, names)


def of_credentials(project: str, made: Mapping[str, str]) -> Iterator[Finding]:
    """Data that were written with credentials which are no longer there."""
    if any(credentials.is_credential(name) for name in made):
        return
    if volumes := docker.volumes(project):
        detail = f"none here yet, but {len(volumes)} volumes of {project} are, written with those of an earlier deploy"
        remedy = "Put its .env back; or, if the data may go: --down --volumes."
        yield Finding("credentials", detail, False, remedy, fatal=False)


def _data(layout: Layout) -> Iterator[Finding]:
    short = layout.run.is_relative_to(layout.data)
    if not short:
        yield Finding(
            "data folder", f"{layout.data}: too long a path for sockets", False, "Choose a shorter one: --data DIR"
        )
        return
    folder = next(path for path in (layout.data, *layout.data.parents) if path.exists())
    if not folder.is_dir():
        yield Finding("data folder", f"{folder} is no folder", False, "Choose another: --data DIR")
        return
    if not os.access(folder, os.W_OK):
        yield Finding("data folder", f"{folder} cannot be written by this user", False, "Choose another: --data DIR")
        return
    yield Finding("data folder", str(layout.data))


def local_hub(layout: Layout, hub_container: bool) -> Iterator[Finding]:
    """A hub of processes on the same data folder would keep the one in its container out."""
    if hub_container or not layout.data.is_dir():
        return
    try:
        pid = lock.holder(layout.lock)
    except SupervisorError as error:
        yield Finding("data folder", str(error), False, "Choose another: --data DIR")
        return
    if pid is not None:
        detail = f"a hub without containers (pid {pid}) runs on {layout.data}"
        yield Finding("hub", detail, False, "End it: aihub down; or choose another folder: --data DIR")


def files(root: Path, data: Path, overrides: Sequence[Path]) -> Iterator[Finding]:
    """What has to hold before compose can read its files. The hub in its container reads them too, and of this machine
    it sees checkout and data folder alone."""
    for name, folder, remedy in (("checkout", root, "Move it."), ("data folder", data, "Choose another: --data DIR")):
        if set(":,") & set(str(folder)):
            yield Finding(name, f"{folder}: neither : nor , may be in its path", False, remedy)
    for path in overrides:
        if not path.is_file():
            yield Finding("override", f"{path}: no such file", False, "Name one that is there: --override FILE")
        elif not path.is_relative_to(root):
            yield Finding("override", f"{path} is not below {root}", False, "Put it there")


def _builder(resolved: plan.Resolved, names: Sequence[str]) -> Iterator[Finding]:
    due = [
        own.reference for own in built.own_images(resolved) if own.reference in plan.images(resolved, names).values()
    ]
    missing = [reference for reference in due if docker.image_labels(reference) is None]
    if missing and not docker.has_builder():
        remedy = "Install docker-buildx-plugin (docs.docker.com/build/install-buildx)."
        yield Finding("build", f"{', '.join(missing)} has to be built, and docker has no buildx", False, remedy)


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


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
