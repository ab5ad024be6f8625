"""Keeps the inner gateways in step with the catalogue: networks from the driver, listeners by the mesh, containers
again by the driver. Owns the order of those steps, and that they are tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from services.catalog.model import Catalog
from services.scaler.drivers.docker.driver import DockerDriver
from services.scaler.drivers.docker.engine import EngineRefused
from services.scaler.mesh.config.inside import HUB_NAMES
from services.scaler.mesh.envoy_mesh import EnvoyMesh

log = logging.getLogger(__name__)

_READY_WITHIN = 20.0
_LOOK = 0.02
_AGAIN = 2.0
"""Seconds after which what failed is tried again."""


class InnerNames:
    """`catalog`: gives the one in force. `binary`: the hub's Envoy."""

    def __init__(self, driver: DockerDriver, mesh: EnvoyMesh, binary: str, catalog: Callable[[], Catalog]) -> None:
        self._driver = driver
        self._mesh = mesh
        self._catalog = catalog
        self._gateways = driver.gateways(binary, mesh.prepare_gateway)
        self._stale = asyncio.Event()
        self.trouble = ""
        """Why names may not be answered inside the networks; empty while they are."""
        driver.names.follow(self.stale)
        self._gateways.astray.append(self.stale)

    async def first(self) -> None:
        """Have every name answered before the hub is said to be up, or say why not; `watch` tries again. The mesh
        serves already."""
        try:
            async with asyncio.timeout(_READY_WITHIN):
                names = await self._renew()
                for name in names:
                    await self._until_ready(name)
        except TimeoutError:
            log.error(
                "the gateway inside the networks is not ready after %g s; it is waited for no longer", _READY_WITHIN
            )
        except (OSError, EngineRefused) as error:
            self.trouble = str(error)
            log.error("no gateway inside the networks yet: %s", error)
            self._stale.set()

    def stale(self) -> None:
        """The catalogue has changed, or what was made of it. Returns at once; `watch` does the rest."""
        self._stale.set()

    async def watch(self) -> None:
        """Follow the changes for ever; ends when cancelled."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._renew()
                self.trouble = ""
            except (OSError, EngineRefused) as error:
                if self.trouble != str(error):
                    log.error("names inside the networks may not be answered: %s", error)
                self.trouble = str(error)
                await asyncio.sleep(_AGAIN)
                self._stale.set()

    async def hurry(self) -> bool:
        """The hub is about to end: an engine that does not answer is not waited for. Whether it answers."""
        self._driver.engine.hurry()
        try:
            await self._driver.engine.get("version")
        except (OSError, EngineRefused) as error:
            log.error("containers are left as they are: %s", error)
            return False
        return True

    async def close(self) -> None:
        """Remove them: the hub ends."""
        try:
            await self._gateways.close()
            await self._driver.names.release()
        except (OSError, EngineRefused) as error:
            log.error("gateways may be left inside the networks: %s", error)

    async def _until_ready(self, name: str) -> None:
        while True:
            if await self._mesh.gateway_ready(name):
                return
            await asyncio.sleep(_LOOK)

    async def _renew(self) -> tuple[str, ...]:
        networks = await self._driver.inside()
        # Listeners first: a name must not be answered before somebody listens behind it.
        self._mesh.configure(self._catalog(), networks)
        shared = [network for network in networks if not network.namespace]
        names = await self._gateways.ensure(shared, HUB_NAMES) if networks else ()
        return tuple(names)
