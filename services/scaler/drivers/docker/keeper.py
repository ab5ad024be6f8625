"""The keeper: one tiny container that does nothing but hold every named volume of what is on demand, read-only.

A container that rests is stopped, and to `docker container prune` and `docker volume prune` a stopped service and its
data are rubbish. What a running container mounts they leave alone. The keeper's image is made here, of a program of a
hundred bytes; nothing is pulled for it. It outlives a scaler that was killed, and goes when the hub ends in order: then
nothing of the hub is left, and data is as safe as compose leaves it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.catalog.model import Catalog
from services.layout import Layout
from services.scaler.drivers.docker import intents
from services.scaler.drivers.docker.arrangement import Arranged
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.images import Images, tar

log = logging.getLogger(__name__)

DATA = "aihub.data"
"""Label of every container that belongs to a hub as such: the mark of its data folder."""
_ROLE = "aihub.keeper"
_VOLUMES = "aihub.volumes"

_DISMISSED_WITHIN = 5.0
_AGAIN = 0.5
"""Seconds after which one that ended is looked for: the engine may have started it again itself."""

_BASE = 0x400000
_X86 = 62, bytes.fromhex("b8220000000f05ebf7")
"""mov eax, 34 (pause); syscall; again."""
_ARM = 183, bytes.fromhex("000080d2010080d2020080d2030080d2280980d2010000d4faffff17")
"""ppoll (73) of nothing, without a limit; again."""
_MACHINES = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}


class Keeper:
    def __init__(self, engine: Engine, images: Images, layout: Layout) -> None:
        self._engine = engine
        self._images = images
        self._mark = mark(layout)
        self._turn = asyncio.Lock()
        self._dismissed = False

    async def keep(self, projects: Sequence[Arranged], catalog: Catalog) -> None:
        """Hold the volumes that exist now; a keeper that holds them already stays as it is. Never raises: without one
        the fleet runs as well, so what hinders it is logged."""
        async with self._turn:
            if not self._dismissed:
                await self._keep(projects, catalog)

    async def _keep(self, projects: Sequence[Arranged], catalog: Catalog) -> None:
        try:
            wanted = await self._existing(_wanted(projects, catalog))
            present = await self._present()
            told = ",".join(sorted(wanted))
            if wanted and not any(one["State"] == "running" and one["Labels"][_VOLUMES] == told for one in present):
                await self._make(sorted(wanted), told)
            elif wanted:
                present = [one for one in present if one["Labels"][_VOLUMES] != told]
            for old in present:
                await self._remove(old["Id"])
        except (EngineAway, EngineRefused, OSError) as error:
            log.warning("volumes of resting services are not safe from a prune: %s", error)

    def changed(self, keep_again: Callable[[float], None]) -> Callable[[Mapping[str, Any]], None]:
        """What takes in the engine's events of containers, and asks for another keeper, so many seconds later, where
        somebody ended one, as `docker stop $(docker ps -q)` does. One that is replaced ends too, and nothing comes of
        it."""

        def take(event: Mapping[str, Any]) -> None:
            labels = event["Actor"].get("Attributes") or {}
            ended = event["Action"] in ("die", "destroy") and _ROLE in labels and labels.get(DATA) == self._mark
            if ended and not self._dismissed:
                keep_again(_AGAIN)

        return take

    async def dismiss(self) -> None:
        """Let go of all volumes, for good: the hub ends. Never raises; what hinders it is logged."""
        self._dismissed = True
        try:
            async with asyncio.timeout(_DISMISSED_WITHIN), self._turn:
                for one in await self._present():
                    await self._remove(one["Id"])
        except (EngineAway, EngineRefused, OSError) as error:
            log.warning("the container that holds volumes may be left: %s", error or "the engine does not answer")

    async def image(self) -> str:
        """The image's name; made where it is missing."""
        reference = f"aihub-keeper:{self._machine()}"
        await self._images.make(reference, tar({"keep": (program(self._machine()), 0o755)}), ['CMD ["/keep"]'])
        return reference

    async def _make(self, volumes: Sequence[str], told: str) -> None:
        made = await intents.create(
            self._engine,
            {
                "Image": await self.image(),
                "Labels": {DATA: self._mark, _ROLE: "1", _VOLUMES: told},
                # It has nothing to end; as the first process of its container it would not even see a SIGTERM.
                "StopSignal": "SIGKILL",
                "User": "65534:65534",
                "HostConfig": {
                    "Mounts": [_mount(name) for name in volumes],
                    "NetworkMode": "none",
                    "ReadonlyRootfs": True,
                    "RestartPolicy": {"Name": "unless-stopped"},
                    "CapDrop": ["ALL"],
                    "Memory": 8 << 20,
                    "PidsLimit": 4,
                    "LogConfig": {"Type": "none"},
                },
            },
            f"aihub-{self._mark}-keeper-{hashlib.sha256(told.encode()).hexdigest()[:8]}-{os.urandom(2).hex()}",
        )
        await self._engine.post(f"containers/{made}/start")

    async def _present(self) -> list[Mapping[str, Any]]:
        label = [f"{DATA}={self._mark}", _ROLE]
        return list(await self._engine.get("containers/json", all=True, filters={"label": label}))

    async def _existing(self, names: frozenset[str]) -> frozenset[str]:
        """One that does not exist yet must not be made here: compose would not know it for its own."""
        found = (await self._engine.get("volumes"))["Volumes"] or ()
        return names & {row["Name"] for row in found}

    async def _remove(self, container: str) -> None:
        try:
            await self._engine.delete(f"containers/{container}", force=True)
        except EngineRefused as error:
            if error.status != 409:
                raise

    def _machine(self) -> str:
        machine = str(self._engine.info.get("Architecture", ""))
        if machine not in _MACHINES:
            raise OSError(f"no keeper is known for machines of kind {machine!r}")
        return machine


def program(machine: str) -> bytes:
    """An executable that waits for ever: file header, one loadable segment, a few instructions."""
    number, code = _MACHINES[machine]
    size = 64 + 56 + len(code)
    header = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 0),
        *(2, number, 1, _BASE + 64 + 56, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000) + code


def mark(layout: Layout) -> str:
    """What all containers of one data folder carry."""
    return layout.mark


def _wanted(projects: Sequence[Arranged], catalog: Catalog) -> frozenset[str]:
    real = {arranged.stack.project: arranged.volumes for arranged in projects}
    return frozenset(
        real.get(service.containers.stack, {}).get(volume.source, volume.source)
        for service in catalog.services.values()
        if service.lazy and service.containers
        for volume in service.volumes
        if volume.named and volume.source
    )


def _mount(name: str) -> dict[str, Any]:
    options = {"NoCopy": True}
    return {"Type": "volume", "Source": name, "Target": f"/kept/{name}", "ReadOnly": True, "VolumeOptions": options}
