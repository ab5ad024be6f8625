"""A driver and a mesh in memory: they do what the contracts say at once, and fail where a test tells them to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.catalog.addresses import Addresses
from services.catalog.model import Catalog, Service
from services.scaler.core.effects import Refuse
from services.scaler.core.events import Adopted, Flow, Measured, ReplicaId
from services.scaler.drivers.base import ProgressReport, Running


class MemoryDriver:
    def __init__(self) -> None:
        self.running: dict[ReplicaId, str] = {}
        self.calls: list[str] = []
        self.faults: dict[str, BaseException] = {}
        self._port = 20000

    def _call(self, verb: str, name: str) -> None:
        self.calls.append(f"{verb} {name}")
        if verb in self.faults:
            raise self.faults[verb]

    def configure(self, catalog: Catalog, where: Mapping[str, Addresses]) -> None: ...

    def unavailable(self, service: Service) -> str | None:
        return None

    async def adopt(self) -> Sequence[Adopted]:
        return []

    async def prepare(self, service: Service, report: ProgressReport) -> None:
        report("installing", 0.5, "half of it")
        self._call("prepare", service.name)

    async def start(self, service: Service, replica: ReplicaId) -> Running:
        self._call("start", replica)
        self.running[replica] = "starting"
        self._port += 1
        return Running({"main": f"127.0.0.1:{self._port}"}, 1)

    async def ready(self, service: Service, replica: ReplicaId) -> None:
        self._call("ready", replica)
        self.running[replica] = "ready"

    async def pause(self, service: Service, replica: ReplicaId) -> None:
        self._call("pause", replica)
        self.running[replica] = "paused"

    async def resume(self, service: Service, replica: ReplicaId) -> None:
        self._call("resume", replica)
        self.running[replica] = "ready"

    async def stop(self, service: Service, replica: ReplicaId) -> str:
        self._call("stop", replica)
        self.running.pop(replica, None)
        return "it ended"

    def ended_by_hand(self, replica: ReplicaId) -> bool:
        return False

    def alive(self, replica: ReplicaId) -> bool:
        return replica in self.running

    async def measure(self, replicas: Sequence[ReplicaId]) -> Sequence[Measured]:
        return []

    async def close(self) -> None: ...


class MemoryMesh:
    def __init__(self) -> None:
        self.published: dict[ReplicaId, Mapping[str, str]] = {}
        self.released: dict[int, str] = {}
        self.refused: dict[int, Refuse] = {}
        self.faults: dict[str, BaseException] = {}

    def configure(self, catalog: Catalog) -> None: ...

    def publish(self, replica: ReplicaId, service: str, endpoints: Mapping[str, str]) -> None:
        self.published[replica] = endpoints

    async def drain(self, replica: ReplicaId, *, despite_silent: bool = False) -> None:
        if "drain" in self.faults:
            raise self.faults["drain"]

    async def withdraw(self, replica: ReplicaId, *, urgent: bool = False) -> bool:
        if "withdraw" in self.faults and not urgent:
            raise self.faults["withdraw"]
        self.published.pop(replica, None)
        return False

    async def moved(self, replica: ReplicaId) -> bool:
        return False

    def forget(self, replica: ReplicaId) -> None: ...

    def release(self, request_id: int, replica: ReplicaId, endpoint: str) -> None:
        assert self.published[replica]["main"] == endpoint
        self.released[request_id] = endpoint

    def refuse(self, refusal: Refuse) -> None:
        self.refused[refusal.demand] = refusal

    async def flows(self) -> Mapping[str, Flow] | None:
        return {}
