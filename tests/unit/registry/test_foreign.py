"""Which of what others have registered a hub serves."""

from __future__ import annotations

from typing import Any

import pytest

from services.catalog.model import Catalog, Port, Service
from services.scaler.registry.foreign import (
    ForeignServices,
    Instance,
    from_health,
    selected,
    worth_watching,
)
from services.scaler.registry.guests import Guests
from services.scaler.registry.standing import Standing
from services.scaler.registry.watcher import following

CHROMA = Service("chroma", ports=(Port("main", 8000),), path="/api/chroma")
ASLEEP = Standing(CHROMA, "paused")
AWAKE = Standing(CHROMA, "ready", "", ("chroma-1",))
UNABLE = Standing(CHROMA, "unavailable", able=False)
PLAIN = Instance("10.0.0.2:8000")
HUBS = Instance("10.0.0.3:8000", hub="other")
EDGES = Instance("10.0.0.3:8001", hub="other", own_port=False)
TAGGED = Instance("10.0.0.4:8000", opted_in=True)


@pytest.mark.parametrize(
    ("standing", "served"),
    [
        (ASLEEP, (PLAIN, TAGGED)),
        (AWAKE, ()),
        (UNABLE, (PLAIN, HUBS, TAGGED)),
        (None, (TAGGED,)),
    ],
)
def test_what_is_served_from_elsewhere(standing: Standing | None, served: tuple[Instance, ...]) -> None:
    found = selected({"chroma": (TAGGED, EDGES, HUBS, PLAIN)}, [standing] if standing else [])
    assert found.endpoints == ({"chroma": tuple(one.address for one in served)} if served else {})


def test_only_names_of_the_catalogue_and_those_that_ask_are_watched() -> None:
    services = {"consul": [], "chroma": ["x"], "shared": ["aihub"], "health": ["aihub"], "Bad Name": ["aihub"]}
    assert worth_watching(services, ["chroma", "tabby"]) == {"chroma", "shared"}


def entry(**changes: Any) -> dict[str, Any]:
    service = {"ID": "x", "Service": "chroma", "Address": "10.0.0.2", "Port": 8000, "Tags": [], "Meta": None}
    checks = [{"Status": changes.pop("status", "passing")}]
    return {"Node": {"Address": "10.0.0.9"}, "Service": service | changes, "Checks": checks}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, Instance("10.0.0.2:8000")),
        ({"Address": ""}, Instance("10.0.0.9:8000")),
        ({"Tags": ["aihub"]}, Instance("10.0.0.2:8000", opted_in=True)),
        ({"Tags": None, "status": "warning"}, Instance("10.0.0.2:8000")),
        ({"Meta": {"aihub-hub": "b", "aihub-door": "own"}}, Instance("10.0.0.2:8000", hub="b")),
        ({"Meta": {"aihub-hub": "b", "aihub-door": "edge"}}, Instance("10.0.0.2:8000", hub="b", own_port=False)),
        ({"Meta": {"aihub-hub": "box"}}, None),
        ({"status": "critical"}, None),
        ({"Kind": "connect-proxy"}, None),
    ],
)
def test_an_instance_is_read_as_consul_says_it(changes: dict[str, Any], found: Instance | None) -> None:
    assert from_health([entry(**changes)], "box") == ((found,) if found else (), ())


@pytest.mark.parametrize("changes", [{"Address": "box.example"}, {"Address": "::1"}, {"Port": 0}])
def test_an_instance_that_the_gateway_cannot_reach_is_named(changes: dict[str, Any]) -> None:
    assert from_health([entry(**changes)], "box") == ((), ("x",))


@pytest.mark.parametrize(
    ("before", "told", "then"),
    [(None, "7", "7"), ("7", "9", "9"), ("9", "7", None), ("9", "0", None), ("9", "what", None), ("7", "7", "7")],
)
def test_a_query_begins_anew_where_consuls_index_went_back(before: str | None, told: str, then: str | None) -> None:
    assert following(before, told) == then


class Doors:
    """A gateway that writes down what it is told."""

    def __init__(self) -> None:
        self.open: dict[str, tuple[str, dict[str, str]]] = {}
        self.full = False
        self.configured: list[Catalog] = []
        self.guests = Guests(self, self.configure)

    def publish(self, replica: str, service: str, endpoints: Any) -> None:
        self.open[replica] = (service, dict(endpoints))

    def forget(self, replica: str) -> None:
        del self.open[replica]

    def configure(self) -> None:
        if self.full:
            raise OSError("no space left")
        self.configured.append(self.guests.beside(Catalog({"chroma": CHROMA})))


def test_guests_come_to_the_gateway_and_go() -> None:
    doors = Doors()
    doors.configure()
    doors.guests.take(ForeignServices({"chroma": ("10.0.0.2:1",), "shared": ("10.0.0.2:2", "10.0.0.2:3")}))
    assert sorted(doors.open.values(), key=str) == [
        ("chroma", {"main": "10.0.0.2:1"}),
        ("shared", {"main": "10.0.0.2:2"}),
        ("shared", {"main": "10.0.0.2:3"}),
    ]
    assert list(doors.configured[-1].services) == ["chroma", "shared"]
    doors.guests.take(ForeignServices())
    assert doors.open == {}
    assert list(doors.configured[-1].services) == ["chroma"]


def test_endpoints_that_change_touch_neither_the_routes_nor_those_that_stay() -> None:
    doors = Doors()
    doors.configure()
    doors.guests.take(ForeignServices({"shared": ("10.0.0.2:2", "10.0.0.2:3")}))
    configured = len(doors.configured)
    doors.guests.take(ForeignServices({"shared": ("10.0.0.2:3", "10.0.0.2:4")}))
    assert len(doors.configured) == configured
    assert sorted(one["main"] for _, one in doors.open.values()) == ["10.0.0.2:3", "10.0.0.2:4"]


def test_a_full_disk_is_tried_again_with_the_next_news() -> None:
    doors = Doors()
    doors.configure()
    doors.full = True
    doors.guests.take(ForeignServices({"shared": ("10.0.0.2:2",)}))
    doors.full = False
    doors.guests.take(ForeignServices({"shared": ("10.0.0.2:3",)}))
    assert list(doors.configured[-1].services) == ["chroma", "shared"]
