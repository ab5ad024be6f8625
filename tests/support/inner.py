"""Inner gateways as processes of this machine: the loopback network is large enough to hold several networks."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from services.catalog.inside import InsideNetwork
from tests.support.envoy import READY_WITHIN, Rig, start_gateway

SHOP, DESK = "127.0.2.1", "127.0.3.1"
"""Where a gateway is found on each of two networks."""


def shop(**names: str) -> InsideNetwork:
    return InsideNetwork("shop_default", ("127.0.2.0/24",), names)


def desk(**names: str) -> InsideNetwork:
    return InsideNetwork("desk_default", ("127.0.3.0/24",), names)


class Inner:
    def __init__(self, rig: Rig, name: str, *options: str) -> None:
        self.name = name
        self._options = options
        self._rig = rig
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return self._rig.layout.gateways / self.name

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self.folder / "envoy.log").read_text()

    async def start(self) -> None:
        bootstrap = self._rig.mesh.prepare_gateway(self.name)
        for path in self.folder.glob("*.sock"):
            path.unlink()
        self._process = start_gateway(bootstrap, self.folder / "envoy.log", *self._options)
        async with asyncio.timeout(READY_WITHIN):
            while not await self._rig.mesh.gateway_ready(self.name):
                assert self._process.poll() is None, self.log()
                await asyncio.sleep(0.02)

    async def admin(self, path: str) -> str:
        return await self._rig.envoy_admin(path, self.folder / "envoy-admin.sock")

    async def seen(self, endpoint: str) -> None:
        """Wait until it has the endpoint among those of a lazy cluster."""
        async with asyncio.timeout(5):
            while f"::{endpoint}::" not in await self.admin("/clusters?filter=^[^_]*$"):  # noqa: ASYNC110 (not ours)
                await asyncio.sleep(0.005)

    def kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


@contextlib.asynccontextmanager
async def inner(rig: Rig, name: str = "inner-1", *options: str) -> AsyncIterator[Inner]:
    """`options`: of Envoy's command line."""
    made = Inner(rig, name, *options)
    await made.start()
    try:
        yield made
    finally:
        made.kill()
