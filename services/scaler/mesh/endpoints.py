"""Which replicas are published, and how the clusters look because of it. Pure; a table with one writer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.catalog.model import Catalog, Protocol
from services.scaler.core.events import ReplicaId
from services.scaler.mesh.names import cluster_name
from services.scaler.mesh.snapshot import Assignment, Endpoint, Snapshot


@dataclass(frozen=True, slots=True)
class Published:
    service: str
    endpoints: Mapping[str, str]
    """Port name → `127.0.0.1:PORT`."""
    draining: bool = False


class Endpoints:
    def __init__(self) -> None:
        self._replicas: dict[ReplicaId, Published] = {}

    def of(self, replica: ReplicaId) -> Published | None:
        return self._replicas.get(replica)

    def put(self, replica: ReplicaId, published: Published) -> None:
        self._replicas[replica] = published

    def drain(self, replica: ReplicaId) -> None:
        if replica in self._replicas:
            self._replicas[replica] = replace(self._replicas[replica], draining=True)

    def remove(self, replica: ReplicaId) -> None:
        self._replicas.pop(replica, None)

    def snapshot(self, catalog: Catalog, before: Snapshot, service: str | None = None) -> Snapshot:
        """`before` with what the replicas say now, of one service or of all."""
        names = catalog.services if service is None else [service] if service in catalog.services else []
        return before.of(assignment for name in names for assignment in self._assignments(catalog, name))

    def _assignments(self, catalog: Catalog, service: str) -> list[Assignment]:
        found: list[Assignment] = []
        for port in catalog.services[service].ports:
            endpoints = self._endpoints(service, port.name)
            tcp = port.protocol is Protocol.TCP
            found.append(Assignment(cluster_name(service, port.name), endpoints, gate=not tcp))
            if not tcp:
                found.append(Assignment(cluster_name(service, port.name, background=True), endpoints))
        return found

    def _endpoints(self, service: str, port: str) -> tuple[Endpoint, ...]:
        return tuple(
            sorted(
                Endpoint(replica.endpoints[port], replica.draining)
                for replica in self._replicas.values()
                if replica.service == service and port in replica.endpoints
            )
        )
