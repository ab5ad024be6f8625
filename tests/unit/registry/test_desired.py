"""What Consul should say of a hub, and what is to be done about what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.catalog.addresses import Edge
from services.catalog.model import Containers, Port, Protocol, Publish, Service
from services.scaler.registry.desired import (
    Address,
    Change,
    Entry,
    Here,
    Said,
    desired,
    difference,
    from_agent,
    from_keys,
    gateway_address,
    hub_name,
)
from services.scaler.registry.standing import Standing

CHROMA = Service("chroma", ports=(Port("main", 8000),), path="/api/chroma")
HERE = Here("box", Edge("127.0.0.1", 8000))


def published(*hosts: str, **more: object) -> Service:
    doors = tuple(Publish("main", host, 8100 + number) for number, host in enumerate(hosts))
    return replace(CHROMA, publishes=doors, **more)  # type: ignore[arg-type]


# -- addresses ---------------------------------------------------------------------------------------------------------


def test_a_service_without_a_port_of_its_own_is_at_the_edge() -> None:
    assert gateway_address(CHROMA, HERE) == Address("127.0.0.1", 8000, own=False)


def test_a_service_with_a_port_of_its_own_is_there() -> None:
    assert gateway_address(published("127.0.0.1"), HERE) == Address("127.0.0.1", 8100, own=True)


def test_only_a_port_of_the_main_door_stands_for_the_service() -> None:
    service = replace(CHROMA, publishes=(Publish("grpc", "127.0.0.1", 8101),))
    assert gateway_address(service, HERE) == Address("127.0.0.1", 8000, own=False)


def test_what_listens_everywhere_has_the_address_that_others_know() -> None:
    assert gateway_address(published("0.0.0.0"), HERE) == Address("127.0.0.1", 8100, own=True)
    assert gateway_address(published("0.0.0.0"), replace(HERE, advertise="10.0.0.7")) == Address("10.0.0.7", 8100, True)


def test_others_are_sent_to_the_edge_where_the_services_own_port_is_on_loopback() -> None:
    here = Here("box", Edge("0.0.0.0", 8000), advertise="10.0.0.7")
    assert gateway_address(published("127.0.0.1"), here) == Address("10.0.0.7", 8000, own=False)
    assert gateway_address(published("127.0.0.1", "10.0.0.7"), here) == Address("10.0.0.7", 8101, own=True)


def test_a_hub_on_loopback_says_so_whatever_it_advertises() -> None:
    assert gateway_address(CHROMA, replace(HERE, advertise="10.0.0.7")) == Address("127.0.0.1", 8000, own=False)


def test_a_port_that_belongs_to_the_engine_is_an_address_too() -> None:
    ports = (Port("main", 6379, Protocol.TCP),)
    own = Containers("hub", "redis", published=(Publish("main", "127.0.0.1", 6379),))
    redis = Service("redis", ports=ports, containers=own, lazy=False)
    assert gateway_address(redis, HERE) == Address("127.0.0.1", 6379, own=True)
    assert gateway_address(replace(redis, containers=None), HERE) is None


# -- what should be said -----------------------------------------------------------------------------------------------


def test_each_serving_replica_is_an_instance_and_each_service_an_entry() -> None:
    said = desired([Standing(CHROMA, "ready", "", ("chroma-1", "chroma-2"))], HERE, Said(), 5.0)
    assert list(said.registrations) == ["box-chroma-1", "box-chroma-2"]
    assert said.entries == {"chroma": Entry("ready", 5.0, "")}


def test_a_service_without_an_address_has_an_entry_alone() -> None:
    worker = Standing(Service("worker"), "ready", "", ("worker-1",))
    said = desired([worker], HERE, Said(), 5.0)
    assert (said.registrations, list(said.entries)) == ({}, ["worker"])


def test_a_state_that_lasts_keeps_its_beginning() -> None:
    asleep = Standing(CHROMA, "paused", "idle")
    first = desired([asleep], HERE, Said(), 5.0)
    assert desired([asleep], HERE, first, 9.0) == first
    other = desired([replace(asleep, reason="to make room")], HERE, first, 9.0)
    assert other.entries == {"chroma": Entry("paused", 5.0, "to make room")}
    assert desired([replace(asleep, state="stopped")], HERE, first, 9.0).entries["chroma"] == Entry(
        "stopped", 9.0, "idle"
    )


def test_a_serving_service_is_not_written_anew_with_each_request() -> None:
    first = desired([Standing(CHROMA, "ready", "1 requests in flight", ("chroma-1",))], HERE, Said(), 5.0)
    later = desired([Standing(CHROMA, "ready", "7 requests in flight", ("chroma-1",))], HERE, first, 6.0)
    assert not difference(later, first)


# -- what is to be done ------------------------------------------------------------------------------------------------


def test_what_is_said_already_needs_nothing_to_be_done() -> None:
    said = desired([Standing(CHROMA, "ready", "", ("chroma-1",))], HERE, Said(), 5.0)
    assert difference(said, said) == Change()


def test_what_an_earlier_life_left_is_taken_back_and_what_changed_is_said_anew() -> None:
    before = desired([Standing(CHROMA, "ready", "", ("chroma-1", "chroma-2"))], HERE, Said(), 5.0)
    moved = published("127.0.0.1")
    change = difference(desired([Standing(moved, "ready", "", ("chroma-2",))], HERE, before, 6.0), before)
    assert change.deregister == ("box-chroma-1",)
    assert [(one.id, one.port) for one in change.register] == [("box-chroma-2", 8100)]
    assert change.write == {}
    assert difference(Said(), before).erase == ("chroma",)


def test_a_key_that_no_hub_has_written_is_written_over() -> None:
    found = Said({}, {"chroma": Entry.read("not JSON")})
    wanted = desired([Standing(CHROMA, "paused", "idle")], HERE, found, 5.0)
    assert difference(wanted, found).write == {"chroma": Entry("paused", 5.0, "idle")}


# -- what Consul says --------------------------------------------------------------------------------------------------


def test_an_agents_words_are_read_back_as_they_were_said() -> None:
    said = desired([Standing(CHROMA, "ready", "", ("chroma-1",))], HERE, Said(), 5.0)
    one = said.registrations["box-chroma-1"]
    entry = {
        "ID": one.id,
        "Service": one.name,
        "Address": one.address,
        "Port": one.port,
        "Tags": list(one.tags),
        "Meta": dict(one.meta),
        "Weights": {"Passing": 1, "Warning": 1},
    }
    assert from_agent({one.id: entry}) == said.registrations
    bare = from_agent({"x": {**entry, "Tags": None, "Meta": None}})
    assert bare[one.id] == replace(one, tags=(), meta={})


def test_keys_are_read_back_as_they_were_written() -> None:
    entry = Entry("paused", 1700000000.25, "idle, für sich")
    found = [{"Key": "aihub/box/services/chroma", "Value": entry.text().encode()}]
    assert from_keys(found, HERE) == {"chroma": entry}
    assert from_keys(None, HERE) == {}


@pytest.mark.parametrize("text", [None, b"", b"{}", b"[]", b"7", b'{"state": "x", "since": "y", "reason": ""}'])
def test_what_no_hub_has_written_is_no_entry(text: bytes | None) -> None:
    assert Entry.read(text) is None


def test_a_hub_has_its_name_from_its_machine_and_its_data_folder() -> None:
    assert hub_name("box.example", "/data") == hub_name("box.example", "/data")
    assert hub_name("box", "/data") != hub_name("box", "/other")
    for host in ("box.example", "", "-ä-", "_under_score", "b" * 200):
        assert Here(hub_name(host, "/data")).hub


@pytest.mark.parametrize("name", ["", "a/b", 'a"b', "-a", "a" * 64, "ä"])
def test_a_hub_name_that_would_break_keys_or_queries_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="hub name"):
        Here(name)
