"""The connection to the Docker Engine: where it is, which API it speaks, one request after the other.

Owns finding the engine (DOCKER_HOST, the client's contexts, the usual socket), the words where none answers, and
patience while one is being restarted: every request made here can be repeated, so a connection that breaks is a pause,
not a failure. What is asked for is the business of the modules beside it.

Requests go through aiodocker's connection and not through its objects: those ask more often than a wake can afford.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from aiodocker.exceptions import DockerContextError, DockerError

log = logging.getLogger(__name__)

OLDEST = (1, 41)
"""Engine 20.10."""
_USUAL = "unix:///var/run/docker.sock"
_NOT_FOUND = 404
_UNREACHED = 900
"""aiodocker's own status of a connection that could not be made."""
_RETRY_FIRST = 0.05
_RETRY_LONGEST = 1.0

Params = Mapping[str, Any]


class EngineAway(OSError):
    """Nothing answers where the engine should be."""


class EngineRefused(Exception):
    """The engine answered with an error; `status` as in HTTP, the message in its own words. `repeated`: the answer to
    an earlier try of this request was lost, so that it may have been carried out."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.repeated = False


class Engine:
    """One engine. Made anywhere, connected in an event loop."""

    def __init__(self, host: str | None = None, *, patience: float = 30.0) -> None:
        """`host`: `unix://…`, `tcp://…`, `ssh://…`; None: as the docker client would find it. `patience`: seconds for
        which a request waits for an engine that does not answer."""
        self._host = host
        self._patience = patience
        self._docker: aiodocker.Docker | None = None
        self.place = host or os.environ.get("DOCKER_HOST") or _USUAL
        self.info: Mapping[str, Any] = {}
        self.tells_of_builds = False
        """Whether every image that comes is told by an event."""
        self.own_networks: frozenset[str] | None = None
        """Names of the networks that the hub's own container is on; None where the hub runs on the host."""

    async def connect(self) -> None:
        """Find it and agree on an API. Raises EngineAway, EngineRefused where it is too old. Idempotent."""
        if self._docker is None:
            self._docker = _client(self._host)
            self.place = self._docker._connection_info
        try:
            version = await self.get("version")
            spoken = tuple(int(part) for part in str(version["ApiVersion"]).split("."))
            if spoken < OLDEST:
                raise EngineRefused(
                    400,
                    f"the Docker Engine at {self.place} is {version.get('Version')} with API {version['ApiVersion']};"
                    f" {OLDEST[0]}.{OLDEST[1]} (Engine 20.10) or newer is needed",
                )
            self.info = await self.get("info")
            self.tells_of_builds = tells_of_builds(spoken, self.info)
            self.own_networks = await self._own_networks()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._docker is not None:
            await self._docker.close()
            self._docker = None

    @property
    def local_root(self) -> Path | None:
        """The engine's folder, where it is one of this machine."""
        root = Path(str(self.info.get("DockerRootDir", "")))
        return root if self.place.startswith("unix://") and root.is_absolute() and root.exists() else None

    async def get(self, path: str, **params: Any) -> Any:
        return await self.call("GET", path, params)

    async def post(self, path: str, body: Any = None, **params: Any) -> Any:
        return await self.call("POST", path, params, body)

    async def delete(self, path: str, **params: Any) -> None:
        """What is gone already is a success; who has removed it cannot be told."""
        try:
            await self.call("DELETE", path, params)
        except EngineRefused as error:
            if error.status != _NOT_FOUND:
                raise

    async def call(self, method: str, path: str, params: Params, body: Any = None) -> Any:
        """One request that may be repeated. Raises EngineRefused, and EngineAway when patience is over."""
        pause, failing_since = _RETRY_FIRST, float("inf")
        while True:
            try:
                async with self.raw(method, path, params, body) as answer:
                    text = await answer.read()
                    return json.loads(text) if answer.content_type == "application/json" and text else text
            except (EngineAway, aiohttp.ClientError) as error:
                # Not since it was asked: what waits for an end may have been answered for minutes.
                failing_since = min(failing_since, time.monotonic())
                if time.monotonic() + pause > failing_since + self._patience:
                    raise (error if isinstance(error, EngineAway) else self.away(error)) from error
            except EngineRefused as error:
                error.repeated = failing_since < float("inf")
                raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RETRY_LONGEST)

    @asynccontextmanager
    async def raw(
        self,
        method: str,
        path: str,
        params: Params,
        body: Any = None,
        content: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request without patience, its answer as it comes; no limit of time. Raises EngineAway, EngineRefused."""
        if self._docker is None:
            raise self.away("not connected")
        data = json.dumps(body) if isinstance(body, dict) else body
        said = {key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in params.items()}
        try:
            answer = await self._docker._do_query(
                path, method, params=said, data=data, headers={"Content-Type": content, **(headers or {})}, timeout=None
            )
        except DockerError as error:
            if error.status == _UNREACHED:
                raise self.away("no connection") from error
            raise EngineRefused(error.status, error.message) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self.away(error) from error
        try:
            yield answer
        finally:
            answer.close()

    def hurry(self, patience: float = 3.0) -> None:
        """From now on wait no longer than this for an engine that does not answer; requests under way too."""
        self._patience = patience

    def away(self, why: object) -> EngineAway:
        return EngineAway(
            f"no Docker Engine answers at {self.place} ({why}): start it, or say with DOCKER_HOST or `docker context"
            " use` where it is; `docker version` asks the same question"
        )

    async def _own_networks(self) -> frozenset[str] | None:
        """A hub that is itself a container reaches only those on its own networks; on the host's network: all."""
        if not Path("/.dockerenv").exists():
            return None
        try:
            networks = (await self.get(f"containers/{platform.node()}/json"))["NetworkSettings"]["Networks"]
        except EngineRefused:
            return None
        return None if "host" in networks else frozenset(networks)


def tells_of_builds(spoken: tuple[int, ...], info: Mapping[str, Any]) -> bool:
    """Whether an image that `docker build` has made is told by an event. BuildKit's were not before Engine 24 (API
    1.43), nor before 28.1 (1.49) where containerd keeps the images."""
    kept_by = dict(one for one in info.get("DriverStatus") or () if len(one) == 2).get("driver-type", "")
    return spoken >= ((1, 49) if kept_by.startswith("io.containerd.") else (1, 43))


def _client(host: str | None) -> aiodocker.Docker:
    # As the client does it: DOCKER_HOST goes before any context.
    url = host or os.environ.get("DOCKER_HOST")
    try:
        return aiodocker.Docker(url=url)
    except AssertionError:
        return aiodocker.Docker(url=_USUAL)
    except (DockerContextError, ValueError) as error:
        place = url or os.environ.get("DOCKER_CONTEXT") or "the docker client's current context"
        raise EngineAway(
            f"{place} does not lead to a Docker Engine: {error}; `docker context ls` shows the contexts there are"
        ) from error
