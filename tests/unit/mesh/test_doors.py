"""Who is behind each port of each network, and what cannot be told apart."""

from __future__ import annotations

from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog, Port, Protocol, Service
from services.scaler.mesh.config.doors import Doors, doors

EDGE = 8000
TCP = Protocol.TCP


def catalog(**ports: tuple[Port, ...]) -> Catalog:
    return Catalog({name: Service(name, ports=made) for name, made in ports.items()})


def network(name: str = "shop", subnet: str = "172.18.0.0/16", **names: str) -> InsideNetwork:
    return InsideNetwork(name, (subnet,), names)


def found(services: Catalog, *inside: InsideNetwork) -> Doors:
    return doors(services, inside, EDGE, kept=("envoy", "localhost"))


def told(made: Doors) -> dict[str, tuple[list[str], bool]]:
    return {door.key: ([b.service.name for b in door.behind], door.by_host) for door in made.doors}


def test_a_port_that_one_service_has_belongs_to_it_and_a_shared_one_is_told_apart() -> None:
    services = catalog(a=(Port("main", 80), Port("x", 81)), b=(Port("main", 80),))
    made = found(services, network(a="a", b="b"), network("desk", "172.19.0.0/16", a="b"))
    assert told(made) == {"desk@80": (["b"], False), "shop@80": (["a", "b"], True), "shop@81": (["a"], False)}
    assert made.faults == ()
    (door,) = [door for door in made.doors if door.key == "desk@80"]
    assert (door.subnets, door.behind[0].hosts) == (("172.19.0.0/16",), ("a", "a.desk"))


def test_several_names_of_one_service_share_nothing() -> None:
    made = found(catalog(a=(Port("main", 80),)), network(a="a", Alias="a"))
    assert told(made) == {"shop@80": (["a"], False)}
    assert made.doors[0].behind[0].hosts == ("a", "a.shop", "alias", "alias.shop")


def test_plain_tcp_is_served_where_it_is_alone_and_named_where_it_is_not() -> None:
    graph = (Port("main", 80), Port("bolt", 7687, TCP))
    assert told(found(catalog(a=graph), network(a="a"))) == {"shop@80": (["a"], False), "shop@7687": (["a"], False)}
    two = found(catalog(a=graph, b=graph), network(a="a", b="b"))
    assert told(two) == {"shop@80": (["a", "b"], True)}
    assert two.faults == (
        "a, b: plain TCP on port 7687 of network shop cannot be told apart from each other, and is not served there",
    )
    mixed = found(catalog(a=graph, b=(Port("main", 7687),)), network(a="a", b="b"))
    assert told(mixed)["shop@7687"] == (["b"], False)
    assert "from b," in mixed.faults[0]
    edge = found(catalog(a=(Port("main", 80), Port("db", EDGE, TCP))), network(a="a"))
    assert told(edge) == {"shop@80": (["a"], False)}
    assert "from the hub itself" in edge.faults[0]


def test_on_the_hubs_own_port_every_service_needs_its_name() -> None:
    made = found(catalog(chroma=(Port("main", EDGE),)), network(chroma="chroma"))
    assert told(made) == {f"shop@{EDGE}": (["chroma"], True)}


def test_a_name_of_the_hubs_own_stays_the_hubs() -> None:
    services = catalog(proxy=(Port("main", EDGE), Port("x", 9000)))
    made = found(services, network(envoy="proxy", proxy="proxy"))
    assert [door.behind[0].hosts for door in made.doors] == [
        ("envoy.shop", "proxy", "proxy.shop"),
        ("envoy", "envoy.shop", "proxy", "proxy.shop"),
    ]
    assert made.faults == (f"proxy: on port {EDGE} of network shop envoy means another, which is served there",)


def test_networks_that_cannot_be_told_apart_are_named() -> None:
    services = catalog(a=(Port("main", 80),))
    same = found(services, network(a="a"), network("desk", a="a"))
    assert list(told(same)) == ["desk@80"]
    assert same.faults == (
        "networks desk and shop both have the subnet 172.18.0.0/16: desk is served there",
        "network shop has no IPv4 subnet of its own: no name is served there",
    )
    assert found(services, network(subnet="fd00::/64", a="a")).doors == ()
    assert "'x', which is none" in found(services, network(subnet="x", a="a")).faults[0]


def test_a_name_of_no_service_and_a_service_without_ports_make_no_door() -> None:
    assert found(catalog(a=()), network(a="a", gone="gone")) == Doors()
    assert found(Catalog()) == Doors()


def test_the_order_in_which_networks_are_found_out_means_nothing() -> None:
    services = catalog(a=(Port("main", 80),), b=(Port("main", 80),))
    one, two = network(a="a", b="b"), network("desk", "172.19.0.0/16", b="b")
    swapped = InsideNetwork("shop", ("172.18.0.0/16",), {"b": "b", "a": "a"})
    assert found(services, one, two) == found(services, two, swapped)
