"""Steering what arrives in other containers' namespaces: callers of a service's port to a gateway, the gateway to it.

Owns the rules' text and the container that sets them: one for all namespaces at a time, with the privileges to enter
them, gone a moment later. Its image is made of this machine's own `nft`, `nsenter` and `dash`; nothing is pulled.

By port, not by the gateway's address: gateways come and go, and the edge has the address that every program of the host
has there. So each port of a service has two more in its namespace: one at which gateways take its callers, and one that
leads past them to the service. Calls from within the namespace are not steered.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.layout import Layout
from services.scaler.drivers.docker import intents
from services.scaler.drivers.docker.engine import Engine, EngineRefused
from services.scaler.drivers.docker.gateway_image import pack
from services.scaler.drivers.docker.gateways import namespaces_mount
from services.scaler.drivers.docker.images import Images
from services.scaler.drivers.docker.keeper import DATA, mark
from services.scaler.drivers.docker.output import last_lines

FIRST_DOOR = 61_000
FIRST_PAST = 62_000
"""Above the ports that the kernel gives to connections, and what a program would choose."""
_PROGRAMS = {"nft": "nftables", "nsenter": "util-linux", "dash": "dash"}
"""Program → the package that has it."""


class Rules:
    def __init__(self, engine: Engine, images: Images, layout: Layout) -> None:
        self._engine = engine
        self._images = images
        self._layout = layout

    async def lay(self, ports: Mapping[str, Sequence[int]]) -> None:
        """Have these rules and no others of ours in each namespace (its file → ports of the service). Connections that
        are there stay. Idempotent. Raises EngineRefused where it was not allowed, EngineAway, OSError."""
        if not ports:
            return
        folders = sorted({str(Path(namespace).parent) for namespace in ports})
        container = await intents.create(
            self._engine,
            {
                "Image": await self._image(),
                "Cmd": ["-c", script(ports)],
                "User": "0:0",
                "Labels": {DATA: mark(self._layout)},
                "HostConfig": {
                    "NetworkMode": "none",
                    "ReadonlyRootfs": True,
                    "CapDrop": ["ALL"],
                    "CapAdd": ["SYS_ADMIN", "NET_ADMIN"],
                    "SecurityOpt": ["no-new-privileges"],
                    "Mounts": [namespaces_mount(folder) for folder in folders],
                },
            },
            f"aihub-{mark(self._layout)}-rules-{os.urandom(4).hex()}",
        )
        try:
            await self._engine.post(f"containers/{container}/start")
            code = (await self._engine.post(f"containers/{container}/wait"))["StatusCode"]
            if code:
                said = await self._engine.get(f"containers/{container}/logs", stdout=True, stderr=True, tail=3)
                words = " | ".join(last_lines(said if isinstance(said, bytes) else b""))
                raise EngineRefused(403, f"rules cannot be set in a container's network: {words or f'exit {code}'}")
        finally:
            await self._engine.delete(f"containers/{container}", force=True)

    async def _image(self) -> str:
        """Raises OSError where a program is missing."""
        found = {name: shutil.which(name) for name in _PROGRAMS}
        if missing := [name for name, path in found.items() if path is None]:
            packages = " ".join(_PROGRAMS[name] for name in missing)
            raise OSError(f"{', '.join(missing)} is not on this machine: install {packages}")
        programs = {f"/{name}": Path(path).resolve() for name, path in found.items() if path}
        digest = hashlib.sha256()
        for path in programs.values():
            digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        reference = f"aihub-rules:{digest.hexdigest()[:12]}"
        await self._images.look()
        if self._images.id_of(reference) is None:
            with tempfile.NamedTemporaryFile(suffix=".tar", dir=self._layout.data) as archive:
                path = Path(archive.name)
                await asyncio.to_thread(pack, programs, path)
                await self._images.make(reference, path, ['ENTRYPOINT ["/dash"]'])
        return reference


def doors(ports: Sequence[int]) -> dict[int, int]:
    """Port of the service → where gateways take its callers."""
    return {port: FIRST_DOOR + at for at, port in enumerate(ports)}


def past(ports: Sequence[int]) -> dict[int, int]:
    """Port of the service → what leads to it past the gateways."""
    return {port: FIRST_PAST + at for at, port in enumerate(ports)}


def script(ports: Mapping[str, Sequence[int]]) -> str:
    return "\n".join(
        f"/nsenter --net='{namespace}' /nft '{table(numbers)}' || exit 1" for namespace, numbers in ports.items()
    )


def table(ports: Sequence[int]) -> str:
    steered = [f"tcp dport {port} redirect to :{door}" for port, door in doors(ports).items()]
    straight = [f"tcp dport {way} redirect to :{port}" for port, way in past(ports).items()]
    lines = ("type nat hook prerouting priority dstnat;", *steered, *straight)
    chain = "\n".join(lines)
    return f"add table ip aihub\ndelete table ip aihub\ntable ip aihub {{\nchain arriving {{\n{chain}\n}}\n}}\n"
