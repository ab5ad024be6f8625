"""Takes up the containers that an earlier life left running, whatever moment it was killed at.

The engine says what each container does now, the record who asked for it and whether its end had begun. A container
that runs and has no record was started by somebody else: it becomes a replica that is still starting, until it is seen
to answer. Nothing is ended that no record says the end of.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from services.catalog.model import Catalog, Service
from services.scaler.drivers.docker.book import Book, Container, State
from services.scaler.drivers.docker.containers import Containers
from services.scaler.drivers.docker.engine import EngineRefused
from services.scaler.drivers.docker.records import Phase, Record
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.docker.roster import Roster

log = logging.getLogger(__name__)

_GRACE = 1.0
"""For a container whose stop was begun by the earlier life: it has had its signal, and some time, already."""


async def take_up(roster: Roster, book: Book, containers: Containers, catalog: Catalog) -> None:
    """The roster knows all that runs, each in a phase that is true. Raises EngineAway."""
    for record in roster.records.load():
        container = book.get(record.container)
        if container is None or not container.runs:
            roster.records.remove(record.replica)
        else:
            roster.enter(Replica(replace(record, phase=_phase(record, container), name=container.name)))
    for container in book:
        service = roster.service_of(container)
        if service is not None and container.runs and roster.on(container.id) is None:
            roster.enter(Replica(_stranger(roster, containers, service, container)))
    await asyncio.gather(*(_settle(roster, containers, catalog, live) for live in roster))


def _phase(record: Record, container: Container) -> Phase:
    if record.phase is Phase.STOPPING:
        return Phase.STOPPING
    if container.state is State.PAUSED:
        return Phase.PAUSED
    return Phase.READY if record.phase is Phase.PAUSED else record.phase


def _stranger(roster: Roster, containers: Containers, service: Service, container: Container) -> Record:
    digest = service.digest if containers.fits(service, container) else ""
    record = roster.by_hand(service, container, digest)
    return replace(record, phase=Phase.PAUSED) if container.state is State.PAUSED else record


async def _settle(roster: Roster, containers: Containers, catalog: Catalog, live: Replica) -> None:
    record = live.record
    if record.phase is Phase.STOPPING:
        live.stopping = True
        await containers.stop(record.container, _GRACE)
        log.info("replica %s of an earlier life: ended", record.replica)
        roster.leave(live)
        return
    service = catalog.services.get(record.service)
    if service is None:
        return
    try:
        alive = await containers.take_over(service, record.container)
    except EngineRefused as error:
        log.warning("replica %s of an earlier life is gone: %s", record.replica, error)
        roster.leave(live)
        return
    live.take(alive)
    roster.records.note(live.record)
