"""What the API knows of the running hub: one object with its questions, so that handlers only translate."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from services.catalog.addresses import Edge, addresses
from services.catalog.model import Service
from services.layout import Layout
from services.scaler.admin import lost_ports, refusals
from services.scaler.admin.lost_ports import LostPort
from services.scaler.admin.refusals import Refusal
from services.scaler.control import views
from services.scaler.control.loop import Control
from services.scaler.control.reload import Reloader
from services.scaler.core import resting
from services.scaler.core.events import Pruned
from services.scaler.core.state import Life
from services.scaler.core.world import World
from services.scaler.drivers.base import Driver
from services.scaler.drivers.process.sockets import listeners, listeners_of, owner_of

Trouble = tuple[str, str, str]
"""For `aihub doctor`: the part, what is wrong, what mends it."""

_SLEEP_PATIENCE = 15.0
"""Seconds a `sleep` command waits for the rest it asked for."""

_STATES = (
    "stopped",
    "installing",
    "queued",
    "starting",
    "ready",
    "draining",
    "paused",
    "stopping",
    "failed",
    "unavailable",
)


class Hub:
    def __init__(
        self,
        layout: Layout,
        edge: Edge,
        control: Control,
        driver: Driver,
        reloader: Reloader,
        look_at: Callable[[str], Awaitable[None]],
        troubles: Callable[[], Sequence[Trouble]] = tuple,
    ) -> None:
        """`look_at`: reads traffic and size of one service now. `troubles`: what is wrong beyond the services."""
        self.layout = layout
        self._troubles = troubles
        self.edge = edge
        self.control = control
        self._driver = driver
        self._reloader = reloader
        self._look_at = look_at

    @property
    def world(self) -> World:
        return self.control.fleet.world

    async def catch_up(self) -> None:
        """Go by the catalogue's files as they are now, unless they have a fault. Before each question and command:
        whoever has just changed an entry means what it says now."""
        await self._reloader.catch_up()

    @property
    def fault(self) -> str:
        """Why the catalogue's files as they are now are not what the hub goes by; empty while they are."""
        return self._reloader.fault

    def status(self) -> dict[str, Any]:
        """The whole of `aihub status --json`."""
        now = self.control.clock.now()
        lost = self._lost()
        return {
            "services": {
                name: self._with_containers(views.service_status(self.world, service, now))
                | {
                    "addresses": self._addresses(name, lost.get(name, ())),
                    "install_bytes": self._to_install(service.spec),
                }
                | {"http": bool(service.spec.http_ports)}
                for name, service in views.in_order(self.world).items()
            },
            "processes": self._processes(),
            "budget": views.budget(self.world),
            "listen": f"{self.edge.host}:{self.edge.port}",
            "catalog": {"files": list(self.world.catalog.files), "fault": self.fault or None},
        }

    def _with_containers(self, status: dict[str, Any]) -> dict[str, Any]:
        for replica in status["replicas"]:
            if name := self._driver.container(replica["id"]):
                replica["container"] = name
        return status

    def explain(self, name: str) -> dict[str, Any]:
        service = self.world.services[name]
        now = self.control.clock.now()
        rests_in = service.last_use + service.spec.scaling.idle_timeout - now
        return {
            "state": views.state(service, now),
            "reason": views.reason(self.world, service),
            "use": resting.use(self.world, service),
            "last_use": {"at": service.last_use, "what": service.use_reason} if service.last_use else None,
            "rests_in_s": max(0.0, rests_in) if service.in_life(Life.READY) else None,
            "needs": list(service.needs),
            "needed_by": list(service.dependents),
            "not_pausable": self._driver.pausable(name),
            "start_seconds": service.start_seconds,
            "decisions": [
                {"at": told.at, "what": told.what, "reason": told.reason} for told in self.control.story.of(name)
            ],
        }

    async def why_not_sleep(self, name: str) -> Refusal | None:
        await self._look_at(name)
        return refusals.of_sleep(self.world, self.world.services[name])

    async def why_not_restart(self, name: str) -> Refusal | None:
        await self._look_at(name)
        return refusals.of_restart(self.world, self.world.services[name])

    async def until_resting(self, name: str, to: str) -> None:
        """Wait until no replica serves (with `stopped`: none is left), or for a short while."""

        def done() -> bool:
            service = self.world.services.get(name)
            lives = {replica.life for replica in service.replicas.values()} if service else set()
            return not lives or (to == "paused" and lives <= {Life.PAUSED}) or Life.READY in lives

        try:
            async with asyncio.timeout(_SLEEP_PATIENCE):
                await self.control.settled(done)
        except TimeoutError:
            pass  # the state that is answered says how far it came

    async def df(self) -> dict[str, Any]:
        """Bytes on disk, by service and by what they are for."""
        sizes: dict[str, Any] = dict(await asyncio.to_thread(self._driver.df))
        sizes["free"] = shutil.disk_usage(self.layout.data).free
        return sizes

    async def prune(self, names: Sequence[str] | None, *, cache: bool) -> Mapping[str, Any]:
        """Remove environments of services that do not run (and the download cache); never data."""
        running = {s.name for s in self.world.services.values() if s.replicas or s.preparation == "running"}
        freed = await asyncio.to_thread(self._driver.prune, names, running, cache=cache)
        for name in freed["removed"]:
            self.control.post(Pruned(name))
        return freed

    def checks(self) -> list[dict[str, Any]]:
        """What `aihub doctor` shows of the running hub."""
        fault = self.fault
        found = [
            {
                "name": "catalogue",
                "ok": not fault,
                "detail": fault or f"{len(self.world.services)} services",
                "remedy": "mend the file; the last good one stays in force" if fault else "",
            }
        ]
        for name, detail, ok, remedy in self._driver.describe():
            found.append({"name": name, "ok": ok, "detail": detail, "remedy": remedy})
        for part, detail, remedy in self._troubles():
            found.append({"name": part, "ok": False, "detail": detail, "remedy": remedy})
        found += self._lost_ports()
        for service in self.world.services.values():
            if service.failure:
                remedy = f"aihub logs {service.name}; aihub wake {service.name}"
                found.append({"name": service.name, "ok": False, "detail": service.failure, "remedy": remedy})
        return found

    def _lost_ports(self) -> list[dict[str, Any]]:
        found = []
        for name, lost in self._lost().items():
            for one in lost:
                owner = owner_of(one.holder.inode) if one.holder else None
                awake = bool(self.world.services[name].replicas)
                detail, remedy = lost_ports.told(one, name, owner, awake=awake)
                found.append({"name": name, "ok": False, "detail": detail, "remedy": remedy})
        return found

    def _lost(self) -> dict[str, tuple[LostPort, ...]]:
        """Of the services that may be had here."""
        envoy = self._processes()["envoy"]
        if envoy is None:
            return {}
        gateway = listeners_of([envoy])
        ours = {one.inode for one in gateway}
        others = [one for one in listeners() if one.inode not in ours]
        return {
            service.name: tuple(lost_ports.of(service.spec, self.edge, gateway, others))
            for service in self.world.services.values()
            if not service.unavailable
        }

    def metrics(self) -> bytes:
        """Prometheus text. Every state of every service is a series from the start, so graphs have no holes."""
        registry = CollectorRegistry()
        state = Gauge("aihub_service_state", "1 for the state a service is in", ["service", "state"], registry=registry)
        memory = Gauge("aihub_service_memory_bytes", "Memory measured of all replicas", ["service"], registry=registry)
        waiting = Gauge("aihub_service_held_requests", "Requests held for the service", ["service"], registry=registry)
        charged = Gauge("aihub_budget_charged_bytes", "Memory reserved for replicas", registry=registry)
        total = Gauge("aihub_budget_total_bytes", "Memory that services may have in all", registry=registry)
        now = self.control.clock.now()
        for name, service in self.world.services.items():
            current = views.state(service, now)
            for one in _STATES:
                state.labels(name, one).set(one == current)
            memory.labels(name).set(sum(replica.memory or 0 for replica in service.replicas.values()))
            waiting.labels(name).set(len(service.demands))
        amounts = views.budget(self.world)["memory"]
        charged.set(amounts["charged"])
        total.set(amounts["total"] or 0)
        return generate_latest(registry)

    def _to_install(self, spec: Service) -> int | None:
        """Bytes that the first wake installs, 0 where nothing is missing; None where nobody has told."""
        if self._driver.installed(spec):
            return 0
        return spec.local.typical.install if spec.local else None

    def _addresses(self, name: str, lost: Collection[LostPort]) -> dict[str, str | None]:
        service = self.world.services[name]
        held = {one.published for one in lost}
        left = tuple(one for one in service.spec.publishes if one not in held)
        where = addresses(replace(service.spec, publishes=left), self.edge)
        return {
            "api": where.api,
            "origin": where.origin,
            "own": None if service.unavailable else where.own,
        }

    def _processes(self) -> dict[str, int | None]:
        try:
            known = json.loads(self.layout.processes.read_text())
        except (OSError, ValueError):
            known = {}
        found = {name: (known.get(name) or {}).get("pid") for name in ("supervisor", "scaler", "envoy")}
        return found | {"scaler": os.getpid()}
