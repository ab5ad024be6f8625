"""When listeners are offered to Envoy again: the deciding half, by looks at a made-up kernel."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import pytest

from services.scaler.mesh.own_ports import INTERVAL, Address, Unheld, listening, watch

OURS = (ip_address("127.0.0.1"), 7000)
OTHER = (ip_address("127.0.0.1"), 7001)


def due(looks: list[list[Address]], wanted: tuple[Address, ...] = (OURS, OTHER)) -> list[int]:
    """Numbers of the looks, a second apart, that were reason to offer them."""
    unheld = Unheld()
    return [second for second, there in enumerate(looks) if unheld.look(wanted, there, float(second))]


def test_while_every_port_is_held_by_whomever_nothing_is_offered() -> None:
    assert due([[OURS, OTHER]] * 5) == []


def test_a_port_that_was_left_is_offered_at_once() -> None:
    assert due([[OURS, OTHER], [OTHER], [OURS, OTHER], [OURS, OTHER]]) == [1]


def test_a_port_nobody_was_seen_at_is_left_to_envoy_for_a_look_first() -> None:
    assert due([[OTHER], [OURS, OTHER]]) == []
    assert due([[OTHER], [OTHER], [OURS, OTHER]]) == [1]


def test_what_cannot_be_had_is_tried_after_longer_and_longer_pauses() -> None:
    assert due([[OTHER]] * 200) == [1, 2, 4, 8, 16, 32, 64, 128, 192]


def test_another_port_that_comes_free_meanwhile_does_not_wait() -> None:
    assert due([[OTHER]] * 20 + [[]]) == [1, 2, 4, 8, 16, 20]


@pytest.mark.parametrize("holder", ["0.0.0.0", "127.0.0.1"])
def test_who_listens_on_all_addresses_holds_ours(holder: str) -> None:
    assert due([[(ip_address(holder), 7000), OTHER]] * 3) == []


def test_another_address_of_the_machine_does_not_stand_in_the_way() -> None:
    elsewhere = (ip_address("10.0.0.1"), 7000)
    assert due([[elsewhere, OTHER]] * 2) == [1]


@pytest.mark.parametrize(("ours", "theirs"), [("0.0.0.0", "::"), ("::", "0.0.0.0"), ("0.0.0.0", "::1")])
def test_a_port_is_left_although_the_number_is_still_held_on_the_other_family(ours: str, theirs: str) -> None:
    four, six = (ip_address(ours), 7000), (ip_address(theirs), 7000)
    assert due([[four, six], [six]], wanted=(four,)) == [1]


@pytest.mark.parametrize(
    ("family", "address", "only", "held"),
    [
        (socket.AF_INET6, "::", 1, {"::"}),
        (socket.AF_INET6, "::", 0, {"::", "0.0.0.0"}),
        (socket.AF_INET6, "::1", 0, {"::1"}),
        (socket.AF_INET6, "::ffff:127.0.0.1", 0, {"127.0.0.1"}),
        (socket.AF_INET, "0.0.0.0", None, {"0.0.0.0"}),
    ],
)
def test_of_a_listener_is_known_which_families_it_is_of(
    family: socket.AddressFamily, address: str, only: int | None, held: set[str]
) -> None:
    with socket.socket(family) as one:
        if only is not None:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        one.bind((address, 0))
        one.listen()
        number = one.getsockname()[1]
        assert {str(where) for where, port in listening() if port == number} == held


async def test_a_port_that_is_known_to_be_left_does_not_wait_for_the_next_look() -> None:
    offered, looks, soon = asyncio.Event(), asyncio.Event(), asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = (ip_address("127.0.0.1"), other.getsockname()[1])

        def wanted() -> list[Address]:
            looks.set()
            return [port]

        watching = asyncio.create_task(watch(wanted, offered.set, soon))
        soon.set()
        async with asyncio.timeout(INTERVAL / 2):
            await looks.wait()
    assert not offered.is_set()
    soon.set()
    async with asyncio.timeout(INTERVAL / 2):
        await offered.wait()
    watching.cancel()
    await asyncio.wait({watching})
