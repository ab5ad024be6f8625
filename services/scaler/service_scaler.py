"""The composition root: builds the scaler from its parts, brings them up in the one order that loses nothing, and down.

Up: read the catalogue · restore what is remembered · adopt what runs · only then let Envoy's questions in, so the first
snapshot it gets already has every endpoint that was there before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from services.catalog.addresses import Edge, all_addresses
from services.catalog.model import Catalog
from services.layout import Layout
from services.scaler.admin import care_api
from services.scaler.admin.api import application
from services.scaler.admin.care import Care
from services.scaler.admin.consul_snapshots import ConsulSnapshots
from services.scaler.admin.hub import Hub, Trouble
from services.scaler.control.clock import Clock
from services.scaler.control.journal import Journal, restore
from services.scaler.control.loop import Control
from services.scaler.control.reload import Reloader
from services.scaler.core.admission import MEMORY
from services.scaler.core.events import CatalogLoaded, Restarted, ShutdownAsked
from services.scaler.core.state import Life, Settings
from services.scaler.elsewhere import Consul, registry_of
from services.scaler.mesh.envoy_mesh import EnvoyMesh
from services.scaler.platforms import DOCKER, dismiss, driver_of, inner_names, keeping_of, reader_of, starts_at_once
from services.scaler.registry.guests import Guests
from services.scaler.signals import host, sizes, traffic

if TYPE_CHECKING:
    from services.scaler.inner import InnerNames
    from services.scaler.registry.consul_registry import ConsulRegistry

log = logging.getLogger(__name__)

_PACKAGE = "distributed-ai-hub"
_INSIDE = "names inside networks"
_TELL_APART = "another port, name or subnet tells them apart"
_NAMES_AGAIN = "mend what the engine complains of; it is tried again every two seconds"
_SHUTDOWN_LIMIT = 30.0
"""Seconds for all replicas to end; what is left then is ended by the supervisor."""
_IN_VAIN = 1.0
"""Seconds where nothing can be ended, enough to refuse who waits."""


@dataclass(frozen=True, slots=True)
class Config:
    catalog: tuple[Path, ...]
    data: Path
    edge: Edge
    domain: str | None = None
    """Services are NAME.DOMAIN besides NAME.localhost."""
    memory: int | None = None
    """Bytes that services may have in all; None: a share of the host's."""
    concurrency: int = 2
    """Envoy's worker threads."""
    tls: tuple[Path, Path] | None = None
    """Certificate chain and key of the edge listener."""
    driver: str = "process"
    lazy: str | None = None
    """`all` or names between commas: containers that are lazy besides those whose file says so."""
    project_name: str | None = None
    """Compose project of the one catalogue file."""
    hold: bool = False
    """Containers that can be held have their network from a holder."""
    envoy: str | None = None
    """Binary of the edge's Envoy, which the gateways inside container networks run too."""
    consul: Consul | None = None
    """None: nobody is told, nobody is listened to."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Listening sockets that the supervisor keeps while the scaler comes and goes."""

    check: socket.socket
    ads: socket.socket
    admin: socket.socket


class ServiceScaler:
    """One scaler. `start`, then serve until `stop`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layout = Layout(config.data)
        self.clock = Clock()
        reader = reader_of(config.driver, config.lazy, config.project_name)
        self.reloader = Reloader(config.catalog, reader, self._take)
        self.settings = Settings(start_cap=starts_at_once(config.driver, host.cores()))
        self.control = Control(restore(self.layout.state, self.settings), self.clock, Journal(self.layout.state))
        self.driver = driver_of(config.driver, self.layout, self.control.post, hold=config.hold)
        self.mesh = EnvoyMesh(
            self.layout,
            config.edge,
            self.control,
            self._gateway,
            concurrency=config.concurrency,
            domain=config.domain,
            tls=(str(config.tls[0]), str(config.tls[1])) if config.tls else None,
        )
        self.guests = Guests(self.mesh, self._configure_gateways)
        self.registry: ConsulRegistry | None = None
        self._inner: InnerNames | None = None
        self._background: list[asyncio.Task[None]] = []
        self._admin: web.AppRunner | None = None

    @property
    def service_configs(self) -> Mapping[str, Mapping[str, Any]]:
        """What is scaled, and within which bounds; read-only."""
        return {
            name: {
                "image": spec.image,
                "min_replicas": spec.scaling.min_replicas,
                "max_replicas": spec.scaling.max_replicas,
                "scale_up_threshold": spec.scaling.scale_up_threshold,
                "idle_timeout": spec.scaling.idle_timeout,
                "memory_limit": spec.resources.memory_limit,
                "cpu_limit": spec.resources.cpus,
            }
            for name, spec in self.control.fleet.world.catalog.services.items()
        }

    async def start(self, sockets: Sockets) -> None:
        """Come up. Raises CatalogError; nothing runs then."""
        self.layout.make()
        catalog = self.reloader.first()
        self._configure(catalog)
        found = await self.driver.adopt()
        self.control.connect(self.driver, self.mesh)
        budget = {MEMORY: self.config.memory or host.memory_budget()}
        self.control.post(Restarted(catalog, self._unavailable(catalog), budget, tuple(found)))
        await self._serve_admin(sockets.admin)
        await self.mesh.serve(sockets.check, sockets.ads)
        await self._serve_inside()
        self._tell_consul()
        self._run(self.reloader.watch())
        self._run(self.mesh.watch_ports())
        self._run(traffic.watch(self.mesh.flows, self._serving, self.control.awake, self.control.post))
        self._run(sizes.watch(self.driver, self._replicas, self.control.awake, self.control.post))
        log.info("up: %d services, %s MiB for them", len(catalog.services), budget[MEMORY] >> 20)

    async def stop(self) -> None:
        """Go down: refuse who waits, stop every replica, let go of everything."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        can_stop = self._inner is None or await self._inner.hurry()
        self.control.post(ShutdownAsked())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_LIMIT if can_stop else _IN_VAIN):
                await self.control.settled(lambda: not self.control.fleet.world.replica_of)
        if self._inner is not None:
            await self._inner.close()
        if self.config.driver == DOCKER:
            await dismiss(self.driver)
        await self.control.close()
        await self.mesh.close()
        await self.driver.close()
        if self._admin is not None:
            await self._admin.cleanup()

    def _take(self, catalog: Catalog) -> None:
        """A changed catalogue: the driver first (a wake may follow at once), and routes before the fleet: Envoy reads
        them meanwhile, and what it then asks is heard when all of this is done."""
        self.driver.configure(catalog, all_addresses(catalog, self.config.edge))
        unavailable = self._unavailable(catalog)
        self.mesh.configure(self.guests.beside(catalog), portless=unavailable)
        self.control.post(CatalogLoaded(catalog, unavailable))
        if self._inner is not None:
            self._inner.stale()

    def _configure(self, catalog: Catalog) -> None:
        self.driver.configure(catalog, all_addresses(catalog, self.config.edge))
        self.mesh.configure(self.guests.beside(catalog), portless=self._unavailable(catalog))

    def _configure_gateways(self) -> None:
        """Guests have come or gone."""
        catalog = self._catalog
        self.mesh.configure(self.guests.beside(catalog), portless=self._unavailable(catalog))

    def _tell_consul(self) -> None:
        if self.config.consul is None:
            return
        self.registry = registry_of(
            self.config.consul, self.layout, self.config.edge, self.config.domain, self.control, self.guests.take
        )
        self._run(self.registry.run())

    @property
    def _catalog(self) -> Catalog:
        """In force now."""
        return self.control.fleet.world.catalog

    async def _serve_inside(self) -> None:
        """Names inside container networks; processes have none."""
        if self.config.envoy is None or self.config.driver != DOCKER:
            return
        self._inner = inner_names(self.driver, self.mesh, self.config.envoy, lambda: self.guests.beside(self._catalog))
        await self._inner.first()
        self._run(self._inner.watch())

    def _unavailable(self, catalog: Catalog) -> dict[str, str]:
        reasons = {name: self.driver.unavailable(spec) for name, spec in catalog.services.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    def _serving(self) -> dict[str, float]:
        """Services with a replica whose requests count → idle timeout."""
        services = self.control.fleet.world.services.values()
        return {s.name: s.spec.scaling.idle_timeout for s in services if s.counted}

    def _replicas(self) -> list[str]:
        return list(self.control.fleet.world.replica_of)

    async def _look_at(self, name: str) -> None:
        """Read one service now, so that a command judges by this moment and not by some seconds ago."""
        serving = self.control.fleet.world.services[name].in_life(Life.READY)
        if serving:
            await sizes.look(self.driver, [replica.id for replica in serving], self.control.post)
            await traffic.look(self.mesh.flows, {name}, self.control.post)

    def _gateway(self, connected: bool) -> None:
        log.info("the gateway is %s", "connected" if connected else "gone")

    def _troubles(self) -> list[Trouble]:
        found = [(_INSIDE, fault, _TELL_APART) for fault in self.mesh.inside_faults]
        if self._inner is not None and self._inner.trouble:
            found.append((_INSIDE, self._inner.trouble, _NAMES_AGAIN))
        if self.registry is not None and self.registry.trouble:
            found.append(("consul", self.registry.trouble, "nothing else waits for it"))
        return found

    async def _serve_admin(self, listener: socket.socket) -> None:
        hub = Hub(
            self.layout, self.config.edge, self.control, self.driver, self.reloader, self._look_at, self._troubles
        )
        own, consul = version(_PACKAGE), ConsulSnapshots.of(os.environ)
        care = Care(self.layout, self.control, self.driver, self.mesh, keeping_of(self.driver), own, consul)
        app = application(hub, lambda named: care_api.routes(care, self.control, named, lambda: hub.fault))
        self._admin = web.AppRunner(app, access_log=None)
        await self._admin.setup()
        await web.SockSite(self._admin, listener).start()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_must_not_end)
        self._background.append(task)


def _must_not_end(task: asyncio.Task[None]) -> None:
    """A watcher that broke is a fault worth a restart: without its readings nothing would ever rest."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("a watcher broke", exc_info=task.exception())
        raise SystemExit(70)
