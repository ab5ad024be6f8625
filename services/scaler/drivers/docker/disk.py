"""What images and volumes take, removing what can be had again, and how the engine is: for people's eyes.

Owns what a prune may take: stopped containers that compose made for services on demand, and the images of those that do
not run. Never a volume.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from services.catalog.model import Catalog, Service
from services.scaler.drivers.docker.arrangement import Stacks
from services.scaler.drivers.docker.containers import Containers
from services.scaler.drivers.docker.engine import Engine, EngineRefused
from services.scaler.drivers.docker.images import familiar


def describe(engine: Engine, connected: bool, floor: int) -> Sequence[tuple[str, str, bool, str]]:
    """For `doctor`: name, detail, whether it is well, remedy."""
    info = engine.info
    version = f"Docker Engine {info.get('ServerVersion', '?')} at {engine.place}"
    rows = [
        ("engine", version if connected else f"{version} does not answer", connected, "start it; `docker version`"),
        ("limits", *_limits(info)),
    ]
    if root := engine.local_root:
        free = shutil.disk_usage(root).free
        rows.append(("disk", f"{free >> 20} MiB free at {root}", free >= floor, "docker system df; docker image prune"))
    else:
        rows.append(("sizes", "the engine is elsewhere: sizes come from its statistics, a second late", True, ""))
    return rows


def _limits(info: Mapping[str, Any]) -> tuple[str, bool, str]:
    missing = [name for name, key in (("memory", "MemoryLimit"), ("CPU", "CpuCfsQuota")) if not info.get(key, True)]
    if missing:
        return (
            f"the kernel enforces no limits of {' and '.join(missing)}",
            False,
            "enable the control group controllers",
        )
    return "memory and CPU limits are enforced", True, ""


async def usage(engine: Engine, stacks: Stacks, catalog: Catalog) -> Mapping[str, Any]:
    """Bytes by service: `data` its named volumes, `env` its image, `log` nothing (the engine keeps it)."""
    told = await engine.get("system/df")
    images = {familiar(name): row.get("Size", 0) for row in told.get("Images") or () for name in row["RepoTags"] or ()}
    volumes = {row["Name"]: max(0, (row.get("UsageData") or {}).get("Size", 0)) for row in told.get("Volumes") or ()}
    real = {arranged.stack.project: arranged.volumes for arranged in await stacks.all()}
    root = engine.local_root
    return {
        "services": {
            service.name: {
                "data": sum(volumes.get(name, 0) for name in _volumes(service, real)),
                "env": images.get(familiar(_image(stacks, service)), 0),
                "log": 0,
            }
            for service in catalog.services.values()
            if service.containers
        },
        "cache": sum(row.get("Size", 0) for row in told.get("BuildCache") or ()),
        "models": 0,
        "free": shutil.disk_usage(root).free if root else 0,
    }


async def prune(
    engine: Engine,
    stacks: Stacks,
    catalog: Catalog,
    containers: Containers,
    names: Collection[str] | None,
    running: Collection[str],
) -> Mapping[str, Any]:
    removed, kept, freed = [], {}, 0
    sizes = (await usage(engine, stacks, catalog))["services"]
    for service in catalog.services.values():
        if not service.lazy or service.containers is None or (names is not None and service.name not in names):
            continue
        present = containers.all_of(service)
        if service.name in running or any(one.runs for one in present):
            kept[service.name] = "it runs or is being pulled"
            continue
        try:
            for one in present:
                await engine.delete(f"containers/{one.id}")
            image = f"images/{_image(stacks, service)}"
            await engine.get(f"{image}/json")  # one that is not here is not told as removed
            await engine.delete(image)
        except EngineRefused as error:
            if error.status != 404:
                kept[service.name] = str(error)
            continue
        removed.append(service.name)
        freed += sizes[service.name]["env"]
    return {"freed": freed, "cached": 0, "removed": removed, "kept": kept}


def _image(stacks: Stacks, service: Service) -> str:
    entry = stacks.known(service)
    return entry.image if entry else service.image or ""


def _volumes(service: Service, real: Mapping[str, Mapping[str, str]]) -> list[str]:
    assert service.containers is not None
    names = real.get(service.containers.stack, {})
    return [names.get(volume.source, volume.source) for volume in service.volumes if volume.named and volume.source]
