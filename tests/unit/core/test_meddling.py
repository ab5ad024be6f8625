"""Somebody else's hand on a replica: what is in use is thawed again, what is idle stays as it was put."""

from __future__ import annotations

import pytest

from services.catalog.model import Catalog, Port, Scaling, Service
from services.scaler.core.effects import Resume, Withdraw
from services.scaler.core.events import Adopted, Flow, Meddled, Restarted, Traffic
from services.scaler.core.fleet import Fleet
from services.scaler.core.invariants import broken

WEB = Service("web", ports=(Port("main", 80),), scaling=Scaling(idle_timeout=60))


@pytest.mark.parametrize(("active", "thawed"), [(0, False), (1, True)])
def test_a_replica_frozen_by_hand_is_thawed_where_a_request_is_in_flight(active: int, thawed: bool) -> None:
    fleet = Fleet()
    found = Adopted("web-1", "web", {"main": "127.0.0.1:1"}, 7, "ready", WEB.digest)
    fleet.handle(Restarted(Catalog({"web": WEB}), {}, {}, (found,)), 0.0)
    fleet.handle(Traffic({"web": Flow(active, 1)}), 5.0)
    effects = fleet.handle(Meddled("web-1", "paused"), 6.0)
    assert any(isinstance(effect, Withdraw) and effect.urgent for effect in effects)
    assert any(isinstance(effect, Resume) for effect in effects) is thawed
    assert broken(fleet) == []
