"""Has everything ready that a start needs: the image, pulled or built, and a container that fits the entry.

Owns what is due and the order; how images are pulled and containers made stands in the modules beside it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection

from services.catalog.model import Service
from services.compose.command import ComposeError
from services.scaler.drivers.base import NotOurs, PrepareError, ProgressReport, StartError
from services.scaler.drivers.docker.arrangement import Entry, Stacks
from services.scaler.drivers.docker.containers import Containers
from services.scaler.drivers.docker.images import Images
from services.scaler.drivers.docker.pull import Pulls

BRING_UP = "AIHUB_BRING_UP"
"""`0` in the environment: what is not on demand is brought up by a deployment, phase by phase, and not by the hub."""


class Preparing:
    def __init__(self, containers: Containers, stacks: Stacks, images: Images, pulls: Pulls) -> None:
        self._containers = containers
        self._stacks = stacks
        self._images = images
        self._pulls = pulls
        self._building = asyncio.Lock()
        self._brings_up = os.environ.get(BRING_UP) != "0"

    async def prepare(self, service: Service, report: ProgressReport, taken: Collection[str]) -> None:
        """Raises PrepareError, EngineAway, EngineRefused; NotOurs where somebody else runs compose and has
        not started the service (yet)."""
        if why := self._not_ours(service):
            raise NotOurs(why)
        try:
            _, entry = await self._stacks.entry(service)
        except ComposeError as error:
            raise PrepareError(f"{service.name}: compose does not take its file: {error}") from error
        except KeyError as error:
            raise PrepareError(f"{service.name}: compose knows no service {error}; `docker compose config`") from error
        await self._images.look()
        if self._images.id_of(entry.image) is None:
            if entry.built:
                await self._build(service, entry, report)
            else:
                await self._fetch(service, entry, report)
        if not service.lazy or any(one.runs for one in self._containers.all_of(service)):
            return
        async with self._containers.making(service):
            try:
                await self._containers.have(service, taken)
            except StartError as error:
                raise PrepareError(str(error)) from error

    async def _fetch(self, service: Service, entry: Entry, report: ProgressReport) -> None:
        if entry.pull_policy == "never":
            raise PrepareError(
                f"{service.name}: image {entry.image} is not here, and `pull_policy: never` says not to pull it:"
                f" `docker pull {entry.image}`, or change that line"
            )
        await self._pulls.pull(entry.image, report, entry.platform)

    async def _build(self, service: Service, entry: Entry, report: ProgressReport) -> None:
        assert service.containers is not None
        self._pulls.check_room(entry.image)
        if self._building.locked():
            report("waiting", None, "another image is being built")
        async with self._building:
            report("building", None, entry.image)
            arranged = await self._stacks.of(service.containers.stack)
            try:
                await arranged.compose.build(service.containers.name)
            except ComposeError as error:
                raise PrepareError(f"{service.name}: its image cannot be built: {error}") from error
            self._images.forget()
            await self._images.look()
            report("building", 1.0, "done")

    async def bring_up(self, service: Service) -> None:
        """What is not on demand is started by compose, with what it depends on; nothing where it runs. Raises
        StartError."""
        if any(one.runs for one in self._containers.all_of(service)):
            return
        if why := self._not_ours(service):
            raise StartError(why)
        assert service.containers is not None
        own = service.containers
        try:
            arranged = await self._stacks.of(own.stack)
            await self._containers.bring_up(arranged, own.name)
        except (ComposeError, KeyError) as error:
            raise StartError(f"{service.name}: {error}") from error

    def _not_ours(self, service: Service) -> str:
        """Why the service is for others to start; empty where it is not, or runs."""
        if service.lazy or self._brings_up or any(one.runs for one in self._containers.all_of(service)):
            return ""
        assert service.containers is not None
        return (
            f"{service.name} is not on demand and does not run; compose starts it: `docker compose up -d"
            f" {service.containers.name}`, or the next phase of the deployment"
        )
