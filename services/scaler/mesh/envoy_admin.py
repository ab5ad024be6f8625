"""Asking Envoy's admin, which listens on a unix socket of the hub's. Reads only."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp
from yarl import URL

from services.scaler.mesh.envoy_counters import FLOW_FILTER


class NoAnswer(Exception):
    """Envoy's admin cannot be reached, or did not answer in time."""


_TIMEOUT = aiohttp.ClientTimeout(total=2.0)


class EnvoyAdmin:
    def __init__(self, path: str) -> None:
        self._path = path
        self._session: aiohttp.ClientSession | None = None

    async def flows(self) -> str:
        """Counters of requests and bytes of every cluster that has been used. Raises NoAnswer."""
        return await self._get(f"/stats?usedonly&filter={quote(FLOW_FILTER, safe='')}")

    async def rows(self, clusters: str) -> str:
        """Endpoints of the clusters whose name matches the expression, as JSON. Raises NoAnswer."""
        return await self._get(f"/clusters?format=json&filter={quote(clusters, safe='')}")

    async def ready(self) -> bool:
        """Whether it serves all its listeners."""
        try:
            return (await self._get("/ready")).strip() == "LIVE"
        except NoAnswer:
            return False

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, what: str) -> str:
        if self._session is None:
            connector = aiohttp.UnixConnector(self._path, limit=4)
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        try:
            async with self._session.get(URL(f"http://envoy{what}", encoded=True)) as answer:
                if answer.status != 200:
                    raise NoAnswer(f"Envoy's admin answered {answer.status}")
                return await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswer(f"Envoy's admin does not answer: {error or type(error).__name__}") from error
