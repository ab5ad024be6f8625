"""The state as people are shown it."""

from __future__ import annotations

from services.catalog.model import Catalog, Service
from services.scaler.control import views
from services.scaler.core.events import Adopted, CatalogLoaded, Restarted
from services.scaler.core.fleet import Fleet


def catalog(*names: str) -> Catalog:
    return Catalog({name: Service(name) for name in names})


def test_services_stand_in_the_order_of_the_catalogue_whatever_came_first() -> None:
    fleet = Fleet()
    left = Adopted("gone-1", "gone", {}, 1, "ready", "")
    fleet.handle(Restarted(catalog("b", "c"), {}, {}, (left,)), 0.0)
    fleet.handle(CatalogLoaded(catalog("c", "a", "b"), {}), 1.0)
    assert list(views.in_order(fleet.world)) == ["c", "a", "b", "gone"]
