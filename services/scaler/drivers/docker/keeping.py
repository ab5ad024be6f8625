"""Data of services that are containers: their named volumes, read and written through containers for a moment.

Reading and writing need no program: the engine itself packs and unpacks the volumes of a container that was never
started. Only moving old data aside does, and that is done inside the volume, so it takes no room and no time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from services.catalog.model import Service, Volume
from services.compose.command import ComposeError
from services.layout import Layout
from services.scaler.drivers.base import ProgressReport
from services.scaler.drivers.docker import intents
from services.scaler.drivers.docker.arrangement import Stacks
from services.scaler.drivers.docker.book import Book, Container, State
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.images import Images
from services.scaler.drivers.docker.keeper import DATA, Keeper
from services.scaler.drivers.docker.pull import Pulls
from services.scaler.drivers.docker.written import written
from services.scaler.drivers.keeping import KeepError, Newer

log = logging.getLogger(__name__)

_PLACE = "/kept"
_ASIDE = ".aihub-before"
_PIECE = 1 << 18
_SHELLS = ("busybox:latest", "alpine:latest", "debian:bookworm-slim")
"""Images tried where the service's own has no shell, those that are here."""
_MOVE = """cd "$v"; for f in * .[!.]* ..?*; do [ "$f" = {aside} ] && continue
[ -e "$f" ] || [ -L "$f" ] || continue; {act}; done"""
_EACH = "set -e; for v in {place}/*/; do {act}; done"
_SET_ASIDE = _EACH.format(
    place=_PLACE, act=f'cd "$v"; mkdir {_ASIDE}; ' + _MOVE.format(aside=_ASIDE, act=f'mv -- "$f" {_ASIDE}/')
)
_BRING_BACK = _EACH.format(
    place=_PLACE,
    act=f'cd "$v"; [ -d {_ASIDE} ] || continue; '
    + _MOVE.format(aside=_ASIDE, act='rm -rf -- "$f"')
    + f'; cd {_ASIDE}; for f in * .[!.]* ..?*; do [ -e "$f" ] || [ -L "$f" ] || continue; mv -- "$f" ../; done;'
    + f" cd ..; rmdir {_ASIDE}",
)
_FORGET = _EACH.format(place=_PLACE, act=f'rm -rf -- "$v"/{_ASIDE}')


class VolumeKeeping:
    def __init__(
        self, engine: Engine, book: Book, stacks: Stacks, images: Images, keeper: Keeper, pulls: Pulls, layout: Layout
    ) -> None:
        self._engine = engine
        self._book = book
        self._stacks = stacks
        self._images = images
        self._keeper = keeper
        self._pulls = pulls
        self._mark = layout.mark

    async def parts(self, service: Service) -> Sequence[str]:
        """Of its named volumes those that exist."""
        with _told(service, "its volumes cannot be looked at"):
            return sorted(await self._volumes(service))

    async def save(self, service: Service) -> AsyncIterator[bytes]:
        with _told(service, "its volumes cannot be copied"):
            volumes = await self._volumes(service)
            async with self._container(await self._keeper.image(), volumes, read_only=True) as container:
                path = f"containers/{container}/archive"
                async with self._engine.raw("GET", path, {"path": _PLACE}) as answer:
                    async for piece in answer.content.iter_chunked(_PIECE):
                        yield piece

    async def load(self, service: Service, archive: AsyncIterator[bytes]) -> None:
        with _told(service, "its volumes cannot be restored"):
            volumes = await self._volumes(service)
            # A restoring that was broken off left the old data aside: they come first.
            await self._shell(service, volumes, _BRING_BACK)
            await self._shell(service, volumes, _SET_ASIDE)
            try:
                async with self._container(await self._keeper.image(), volumes, read_only=False) as container:
                    path = f"containers/{container}/archive"
                    async with self._engine.raw("PUT", path, {"path": "/"}, archive, "application/x-tar") as answer:
                        await answer.read()
            except BaseException:
                await self._shell(service, volumes, _BRING_BACK)
                raise
            await self._shell(service, volumes, _FORGET)

    async def freeze(self, service: Service) -> bool:
        return await self._each(service, "pause", State.RUNNING)

    async def thaw(self, service: Service) -> None:
        await self._each(service, "unpause", State.PAUSED)

    async def halt(self, service: Service) -> bool:
        return await self._each(service, "stop", State.RUNNING)

    async def go_on(self, service: Service) -> None:
        await self._each(service, "start", State.ENDED)

    async def fetch(self, service: Service, report: ProgressReport) -> Newer | None:
        with _told(service, "its image cannot be looked at"):
            _, entry = await self._stacks.entry(service)
            await self._images.look()
            own = [one.image_id for one in self._containers_of(service) if one.image_id]
            before = own[0] if own else self._images.id_of(entry.image)
            if entry.pull_policy != "never" and not entry.built:
                await self._pulls.pull(entry.image, report, entry.platform)
            after = self._images.id_of(entry.image)
            if before is None or after is None or before == after:
                return None
            return Newer(before, after)

    async def back(self, service: Service, newer: Newer) -> None:
        with _told(service, "its image cannot be set back"):
            _, entry = await self._stacks.entry(service)
            repository, _, tag = entry.image.rpartition(":")
            if not repository or "/" in tag:
                repository, tag = entry.image, "latest"
            await self._engine.post(f"images/{newer.before}/tag", repo=repository, tag=tag)
            self._images.forget()
            await self._images.look()

    def logs(self, service: Service, tail: int, *, follow: bool) -> AsyncIterator[bytes] | None:
        return self._logs(service, tail, follow)

    async def _logs(self, service: Service, tail: int, follow: bool) -> AsyncIterator[bytes]:
        with _told(service, "its log cannot be read"):
            for one in sorted(self._containers_of(service), key=lambda one: (one.runs, one.number))[-1:]:
                async for piece in written(self._engine, one.id, tail, follow=follow):
                    yield piece

    # -- steps ---------------------------------------------------------------------------------------------------------

    async def _volumes(self, service: Service) -> Mapping[str, str]:
        """Key in the file → the engine's name, of those that exist."""
        if service.containers is None:
            return {}
        arranged = await self._stacks.of(service.containers.stack)
        named = [v.source for v in service.volumes if v.named and v.source and not v.read_only and not _of_socket(v)]
        real = {key: arranged.volumes.get(key, key) for key in named}
        there = {row["Name"] for row in (await self._engine.get("volumes"))["Volumes"] or ()}
        return {key: name for key, name in real.items() if name in there}

    def _containers_of(self, service: Service) -> list[Container]:
        return list(self._book.of(service.containers.stack, service.containers.name)) if service.containers else []

    async def _each(self, service: Service, verb: str, state: State) -> bool:
        with _told(service, f"it cannot be told to {verb}"):
            mine = [one for one in self._containers_of(service) if one.state is state]
            for one in mine:
                await intents.intend(self._engine, f"containers/{one.id}/{verb}", "already paused", "not paused")
            return bool(mine)

    async def _shell(self, service: Service, volumes: Mapping[str, str], script: str) -> None:
        """Run a line of shell over the volumes, as root and without a network. Raises KeepError."""
        _, entry = await self._stacks.entry(service)
        await self._images.look()
        said = ""
        for image in (entry.image, *_SHELLS):
            if self._images.id_of(image) is None:
                continue
            async with self._container(image, volumes, read_only=False, script=script) as container:
                try:
                    await self._engine.post(f"containers/{container}/start")
                except EngineRefused as error:
                    said = str(error)
                    continue  # there is no shell in it
                ended = await self._engine.post(f"containers/{container}/wait")
                if ended["StatusCode"] == 0:
                    return
                raw = await self._engine.get(f"containers/{container}/logs", stdout=True, stderr=True)
                raise KeepError(f"{service.name}: data could not be moved: {raw[8:].decode(errors='replace').strip()}")
        raise KeepError(f"{service.name}: no image with a shell is here ({said}): `docker pull busybox`, then again")

    @asynccontextmanager
    async def _container(
        self, image: str, volumes: Mapping[str, str], *, read_only: bool, script: str | None = None
    ) -> AsyncIterator[str]:
        """One that mounts the volumes below the same place, and goes afterwards."""
        mounts = [
            {
                "Type": "volume",
                "Source": name,
                "Target": f"{_PLACE}/{key}",
                "ReadOnly": read_only,
                "VolumeOptions": {"NoCopy": True},
            }
            for key, name in volumes.items()
        ]
        said: dict[str, Any] = {
            "Image": image,
            "Labels": {DATA: self._mark},
            "User": "0:0",
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {"Mounts": mounts, "NetworkMode": "none", "LogConfig": {"Type": "json-file"}},
        }
        if script is not None:
            said |= {"Entrypoint": ["sh", "-c"], "Cmd": [script]}
        name = f"aihub-{self._mark}-copy-{os.urandom(4).hex()}"
        made = await intents.create(self._engine, said, name)
        try:
            yield made
        finally:
            try:
                await self._engine.delete(f"containers/{made}", force=True)
            except (EngineRefused, EngineAway) as error:
                log.warning("%s is left behind: %s", name, error)


def _of_socket(volume: Volume) -> bool:
    """Whether the engine's socket comes to the hub by it: nothing is kept there, and who serves it must not be held
    still by who asks through it."""
    host = os.environ.get("DOCKER_HOST", "")
    return host.startswith("unix://") and host.removeprefix("unix://").startswith(volume.target.rstrip("/") + "/")


@contextmanager
def _told(service: Service, what: str) -> Iterator[None]:
    """What the engine says becomes a KeepError about the service."""
    try:
        yield
    except (EngineRefused, EngineAway, aiohttp.ClientError, ComposeError) as error:
        raise KeepError(f"{service.name}: {what}: {error}") from error
