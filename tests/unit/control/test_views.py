"""The state as people are shown it."""

from __future__ import annotations

from services.catalog.model import Catalog, Service
from services.scaler.control import views
from services.scaler.core.effects import Stop, Withdraw
from services.scaler.core.events import Adopted, CatalogLoaded, End, Exited, Restarted, Stopped, Withdrawn
from services.scaler.core.fleet import Fleet


def catalog(*names: str) -> Catalog:
    return Catalog({name: Service(name) for name in names})


def test_services_stand_in_the_order_of_the_catalogue_whatever_came_first() -> None:
    fleet = Fleet()
    left = Adopted("gone-1", "gone", {}, 1, "ready", "")
    fleet.handle(Restarted(catalog("b", "c"), {}, {}, (left,)), 0.0)
    fleet.handle(CatalogLoaded(catalog("c", "a", "b"), {}), 1.0)
    assert list(views.in_order(fleet.world)) == ["c", "a", "b", "gone"]


def test_what_somebody_else_has_ended_says_why_it_is_down_and_when_it_comes_back() -> None:
    fleet = Fleet()
    found = Adopted("db-1", "db", {}, 7, "ready", "")
    fleet.handle(Restarted(Catalog({"db": Service("db", lazy=False)}), {}, {}, (found,)), 0.0)
    effects = fleet.handle(Exited("db-1", "SIGTERM", End.BY_HAND), 1.0)
    [withdraw] = [one for one in effects if isinstance(one, Withdraw)]
    [stop] = [one for one in fleet.handle(Withdrawn("db-1", withdraw.attempt), 1.1) if isinstance(one, Stop)]
    fleet.handle(Stopped("db-1", stop.attempt), 1.2)
    service = fleet.world.services["db"]
    assert views.state(service, 2.0) == "stopped"
    assert "until somebody asks for it" in views.reason(fleet.world, service)
