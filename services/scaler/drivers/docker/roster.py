"""Which replica is which container, in memory and on disk. Owns the two maps and the records; asks no engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from services.catalog.model import Catalog, Service
from services.scaler.core.events import Adopted, ReplicaId
from services.scaler.drivers.docker.book import Container
from services.scaler.drivers.docker.records import Phase, Record, Records
from services.scaler.drivers.docker.replica import Replica

_BY_HAND = "-by-hand-"


class Roster:
    def __init__(self, records: Records) -> None:
        self.records = records
        self._replicas: dict[ReplicaId, Replica] = {}
        self._by_container: dict[str, Replica] = {}
        self._services: Mapping[tuple[str, str], Service] = {}
        self._strangers = 0

    def configure(self, catalog: Catalog) -> None:
        self._services = {
            (own.stack, own.name): service for service in catalog.services.values() if (own := service.containers)
        }
        lazy = {service.name: service.lazy for service in self._services.values()}
        for live in self:
            self._belongs(live, lazy.get(live.record.service, live.record.lazy))

    def service_of(self, container: Container) -> Service | None:
        return self._services.get((container.project, container.service))

    def service_by_name(self, name: str) -> Service | None:
        return next((service for service in self._services.values() if service.name == name), None)

    def get(self, replica: ReplicaId) -> Replica | None:
        return self._replicas.get(replica)

    def on(self, container: str) -> Replica | None:
        return self._by_container.get(container)

    def taken(self) -> set[str]:
        """Containers that belong to a replica."""
        return set(self._by_container)

    def of(self, service: Service) -> list[Replica]:
        return [live for live in self._replicas.values() if live.record.service == service.name]

    async def ending(self, service: Service) -> None:
        """Wait for those of the service that are being stopped: their containers are free then."""
        for live in self.of(service):
            if live.stopping:
                async with live.verb:
                    pass

    def __iter__(self) -> Iterator[Replica]:
        return iter(tuple(self._replicas.values()))

    def _belongs(self, live: Replica, lazy: bool) -> None:
        """To the hub, which may then end it, or to compose: as the catalogue says now, whoever had started it."""
        if live.record.lazy != lazy:
            live.record = replace(live.record, lazy=lazy)
            self.note(live)

    def enter(self, live: Replica) -> Replica:
        service = self.service_by_name(live.record.service)
        if service is not None:
            live.record = replace(live.record, lazy=service.lazy)
        self._replicas[live.id] = self._by_container[live.record.container] = live
        return live

    def leave(self, live: Replica) -> None:
        """Nothing of it runs, or it is no business of ours any more. Idempotent."""
        live.unwatch()
        if self._replicas.get(live.id) is live:
            del self._replicas[live.id]
            del self._by_container[live.record.container]
            self.records.remove(live.id)

    def phase(self, live: Replica, phase: Phase) -> None:
        live.become(phase)
        self.note(live)

    def note(self, live: Replica) -> None:
        """Write down what it is by now. What the engine tells too may be noted late: a file that takes the place of
        another can take the disk's time, and a wake has none."""
        if self._replicas.get(live.id) is live:
            self.records.note(live.record)

    def by_hand(self, service: Service, container: Container, digest: str) -> Record:
        """A record for a container that somebody else has started; its id never meant another replica of this life."""
        while True:
            self._strangers += 1
            replica = f"{service.name}{_BY_HAND}{self._strangers}"
            if replica not in self._replicas:
                return Record(
                    replica, service.name, digest, Phase.STARTING, container.id, container.name, lazy=service.lazy
                )


def told(live: Replica) -> Adopted:
    record = live.record
    return Adopted(
        replica=record.replica,
        service=record.service,
        endpoints=record.endpoints,
        pid=record.pid,
        phase=record.phase.value,
        digest=record.digest,
    )
