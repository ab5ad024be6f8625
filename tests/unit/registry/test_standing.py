"""How a fleet stands, as a registry sees it."""

from __future__ import annotations

from services.catalog.model import Catalog, Port, Service
from services.scaler.control import views
from services.scaler.core.events import CatalogLoaded, Restarted
from services.scaler.core.fleet import Fleet
from services.scaler.registry.standing import standings

CHROMA = Service("chroma", ports=(Port("main", 8000),), path="/api/chroma")
TABBY = Service("tabby", ports=(Port("main", 8000),), path="/api/tabby")


def test_every_service_of_the_catalogue_stands_somehow() -> None:
    fleet = Fleet()
    fleet.handle(Restarted(Catalog({"chroma": CHROMA, "tabby": TABBY}), {"tabby": "needs docker"}, {}, ()), 1.0)
    chroma, tabby = standings(fleet.world, views.state, views.reason, 1.0)
    assert (chroma.state, chroma.serving, chroma.able) == ("stopped", (), True)
    assert (tabby.state, tabby.reason, tabby.able) == ("unavailable", "needs docker", False)
    fleet.handle(CatalogLoaded(Catalog({"tabby": TABBY}), {}), 2.0)
    assert [one.service.name for one in standings(fleet.world, views.state, views.reason, 2.0)] == ["tabby"]
