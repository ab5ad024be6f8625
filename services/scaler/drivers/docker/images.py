"""Which images the engine has, and making small ones of our own without a registry.

The set is read once and again when an image has come or gone, so whether a wake would find its image costs nothing. An
engine that does not tell of all that come is asked each time.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.scaler.drivers.docker.engine import Engine, EngineRefused

_DEFAULT_REGISTRIES = ("docker.io/library/", "docker.io/", "index.docker.io/library/", "index.docker.io/")


class Images:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ids: Mapping[str, str] = {}
        self._stale = True

    def forget(self) -> None:
        """Something has come or gone."""
        self._stale = True

    async def look(self) -> None:
        """Bring the set up to date; asks nothing where the engine would have told of a change."""
        if self._stale or not self._engine.tells_of_builds:
            self._stale = False
            self._ids = known_names(await self._engine.get("images/json"))

    def id_of(self, reference: str) -> str | None:
        return self._ids.get(familiar(reference))

    async def platform_of(self, reference: str) -> str:
        found = await self._engine.get(f"images/{reference}/json")
        return f"{found.get('Os')}/{found.get('Architecture')}"

    async def make(self, reference: str, archive: bytes | Path, changes: Sequence[str]) -> None:
        """An image of one layer from a tar archive; `changes` in the words of a Dockerfile. A name that is there
        already is left alone. Raises EngineRefused, EngineAway, OSError."""
        await self.look()
        if self.id_of(reference):
            return
        repository, _, tag = reference.rpartition(":")
        params = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": list(changes)}
        if isinstance(archive, Path):
            with archive.open("rb") as body:
                await self._import(params, body)
        else:
            await self._import(params, archive)
        self.forget()

    async def _import(self, params: Mapping[str, Any], body: Any) -> None:
        # `changes` is a parameter that repeats, which a mapping cannot say: one Dockerfile of several lines can.
        said = {**params, "changes": "\n".join(params["changes"])}
        async with self._engine.raw("POST", "images/create", said, body, "application/x-tar") as answer:
            text = (await answer.read()).decode(errors="replace")
        if '"error"' in text:
            raise EngineRefused(500, text.strip())


def known_names(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Familiar name → image id."""
    return {
        familiar(name): row["Id"]
        for row in rows
        for name in [*(row.get("RepoTags") or ()), *(row.get("RepoDigests") or ()), row["Id"]]
        if "<none>" not in name
    }


def familiar(reference: str) -> str:
    """The name that the engine lists an image by: no default registry, always a tag or a digest."""
    for prefix in _DEFAULT_REGISTRIES:
        if reference.startswith(prefix):
            reference = reference.removeprefix(prefix)
            break
    name, at, digest = reference.partition("@")
    last = name.rpartition("/")[2]
    if at:
        return f"{name[: len(name) - len(last)]}{last.partition(':')[0]}@{digest}"
    return name if ":" in last else f"{name}:latest"


def tar(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """An archive of a few small files: path → content and mode."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (content, mode) in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
