"""The image of inner gateways: the hub's own Envoy and what it is linked with. Nothing is pulled for it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from services.scaler.drivers.docker.images import Images

GATEWAY = "aihub.gateway"
"""Label: of a container the gateway's name, `inner-N`; of their image `image`."""
_INSIDE = "/envoy"
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


async def have(images: Images, binary: Path, room: Path) -> str:
    """The image's name; made where it is missing. `room`: a folder for what is large. Raises EngineAway, EngineRefused,
    OSError."""
    digest = await asyncio.to_thread(_sha256, binary)
    reference = f"aihub-envoy:{digest[:12]}"
    await images.look()
    if images.id_of(reference) is None:
        with tempfile.NamedTemporaryFile(suffix=".tar", dir=room) as archive:
            path = Path(archive.name)
            await asyncio.to_thread(pack, {_INSIDE: binary}, path)
            await images.make(reference, path, [f'ENTRYPOINT ["{_INSIDE}"]', f"LABEL {GATEWAY}=image"])
    return reference


def pack(programs: Mapping[str, Path], target: Path) -> None:
    """A root of programs (path there → file here) and the libraries they are linked with, where their loader looks for
    them. Blocks for a second."""
    words = ["ldd", *map(str, programs.values())]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    with tarfile.open(target, "w") as archive:
        for path, program in programs.items():
            archive.add(program, path, filter=_anybody)
        for library in sorted({match[1] for line in said.splitlines() if (match := _LIBRARY.search(line))}):
            archive.add(os.path.realpath(library), library.lstrip("/"), filter=_anybody)


def _anybody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755
    return entry


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
