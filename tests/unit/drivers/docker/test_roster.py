"""Whose a running container is: the hub's to end, or compose's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from services.catalog.model import Catalog, Containers, Service
from services.scaler.drivers.docker.records import Phase, Record, Records
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.docker.roster import Roster

KEPT = Service("web", lazy=False, containers=Containers("p", "web"))


async def test_what_compose_started_is_the_hubs_to_end_once_the_catalogue_says_on_demand(tmp_path: Path) -> None:
    records = Records(tmp_path)
    roster = Roster(records)
    roster.configure(of(KEPT))
    live = roster.enter(Replica(record(lazy=False)))
    roster.configure(of(replace(KEPT, lazy=True)))
    assert live.record.lazy
    assert [one.lazy for one in records.load()] == [True], "the next life knows it too"
    roster.configure(of(KEPT))
    assert not live.record.lazy
    roster.configure(of())
    assert not live.record.lazy, "what has left the catalogue stays whose it was"


async def test_a_record_of_an_earlier_life_follows_the_catalogue_of_this_one(tmp_path: Path) -> None:
    roster = Roster(Records(tmp_path))
    roster.configure(of(replace(KEPT, lazy=True)))
    assert roster.enter(Replica(record(lazy=False))).record.lazy


def of(*services: Service) -> Catalog:
    return Catalog(services=MappingProxyType({service.name: service for service in services}))


def record(*, lazy: bool) -> Record:
    return Record("web-1", "web", "d", Phase.READY, "c0ffee", "p-web-1", lazy=lazy)
