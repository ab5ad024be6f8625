"""What all gateways together have seen: each live one is asked, and where one cannot say there is no answer at all.

A gateway that runs without a stream still sends by what it last knew, so it takes part in every answer: nobody can
speak for it. One that has ended took its requests with it, and is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from services.scaler.mesh.ads import Gateways
from services.scaler.mesh.envoy_admin import EnvoyAdmin, NoAnswer
from services.scaler.mesh.gateway_folders import GatewayFolders


class Witnesses:
    def __init__(self, gateways: Gateways, folders: GatewayFolders) -> None:
        self._gateways = gateways
        self._folders = folders
        self._admins: dict[str, EnvoyAdmin] = {}

    async def flows(self) -> Mapping[str, str]:
        """Counters of requests and bytes, by the name of the gateway. Raises NoAnswer."""
        return await self._all(lambda admin: admin.flows())

    async def rows(self, clusters: str) -> Mapping[str, str]:
        """Endpoints of the clusters whose name matches, as JSON by the name of the gateway. Raises NoAnswer."""
        return await self._all(lambda admin: admin.rows(clusters))

    async def ready(self, name: str) -> bool:
        """Whether the gateway serves all its listeners."""
        return await self._admin(name).ready()

    async def forget(self, name: str) -> None:
        admin = self._admins.pop(name, None)
        if admin is not None:
            await admin.close()

    async def close(self) -> None:
        for name in tuple(self._admins):
            await self.forget(name)

    async def _all(self, ask: Callable[[EnvoyAdmin], Awaitable[str]]) -> Mapping[str, str]:
        live = [gateway.node for gateway in self._gateways.live]
        names = frozenset(live)
        if not live:
            raise NoAnswer("no gateway is connected")
        if len(names) < len(live):
            # They share one socket, and whoever has it speaks for itself alone.
            twice = next(name for name in live if live.count(name) > 1)
            raise NoAnswer(f"two gateways call themselves {twice}")
        unseen = self._folders.unseen(names)
        if unseen is not None:
            raise NoAnswer(f"gateway {unseen} runs and has no stream: nobody knows what it sends on")
        answers = await asyncio.gather(*(ask(self._admin(name)) for name in live))
        return dict(zip(live, answers, strict=True))

    def _admin(self, name: str) -> EnvoyAdmin:
        if name not in self._admins:
            self._admins[name] = EnvoyAdmin(self._folders.admin(name))
        return self._admins[name]
