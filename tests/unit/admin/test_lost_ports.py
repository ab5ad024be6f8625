"""Which own ports the gateway lacks, by who listens where."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from services.catalog.addresses import Edge
from services.catalog.model import Port, Publish, Service
from services.scaler.admin import lost_ports
from services.scaler.drivers.process.sockets import Listener


def at(*places: str) -> list[Listener]:
    """On `::` alone, or with `+` behind it on IPv4 too."""
    found = []
    for inode, place in enumerate(places):
        host, _, port = place.rpartition(":")
        address = ip_address(host.strip("[]+"))
        takes = (address, ip_address("0.0.0.0")) if host.endswith("+") else (address,)
        found.append(Listener(address, int(port), inode, takes))
    return found


def lost(publishes: list[str], gateway: list[Listener], others: list[Listener], edge: str = "127.0.0.1") -> list[str]:
    made = [
        Publish("main", host.strip("[]"), int(port)) for host, _, port in (one.rpartition(":") for one in publishes)
    ]
    service = Service("svc", ports=(Port("main", 80),), publishes=tuple(made), lazy=True)
    return [str(one.published) for one in lost_ports.of(service, Edge(host=edge), gateway, others)]


@pytest.mark.parametrize(
    ("published", "held"),
    [
        ("127.0.0.1:7000", "127.0.0.1:7000"),
        ("127.0.0.1:7000", "0.0.0.0:7000"),
        ("127.0.0.1:7000", "[::]+:7000"),
        ("[::1]:7000", "[::]:7000"),
        ("[::]:7000", "[::1]:7000"),
        ("0.0.0.0:7000", "127.0.0.2:7000"),
        (":7000", "127.0.0.1:7000"),
        (":7000", "[::1]:7000"),
    ],
)
def test_a_port_that_somebody_else_has_is_lost_and_only_that(published: str, held: str) -> None:
    assert lost([published, "127.0.0.1:7001"], [], at(held)) == [published.removeprefix(":")]


@pytest.mark.parametrize(
    ("published", "held"),
    [("127.0.0.1:7000", "[::]:7000"), ("[::1]:7000", "0.0.0.0:7000"), ("127.0.0.1:7000", "127.0.0.2:7000")],
)
def test_who_listens_elsewhere_hinders_nothing(published: str, held: str) -> None:
    assert lost([published], [], at(held)) == []


def test_of_two_addresses_with_one_number_the_one_that_is_held_is_lost() -> None:
    both = ["127.0.0.1:7000", "[::1]:7000"]
    assert lost(both, at("[::1]:7000"), at("127.0.0.1:7000")) == ["127.0.0.1:7000"]
    assert lost(both, at("[::1]:7000", "127.0.0.1:7000"), at("127.0.0.2:7000")) == []


def test_everywhere_is_the_gateways_by_one_socket_of_both_families() -> None:
    assert lost([":7000"], at("[::]+:7000"), []) == []


def test_the_gateways_own_address_is_nobody_elses() -> None:
    gateway = at("127.0.0.1:8000")
    assert lost(["127.0.0.1:8000"], gateway, []) == ["127.0.0.1:8000"]
    assert lost([":8000"], gateway, []) == ["8000"]
    assert lost(["[::1]:8000"], gateway, []) == []
