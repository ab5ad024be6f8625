"""The kernel tells how full a listener's accept queue is, and the held go only while it has room."""

from __future__ import annotations

import socket

from services.scaler.mesh.accept_queue import AcceptQueue, accept_queue, room_at
from services.scaler.mesh.slices import FIRST, Slices


def test_connections_that_nobody_accepted_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
        endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
        assert accept_queue(endpoint) == AcceptQueue(0, 5)
        waiting = [socket.create_connection(listener.getsockname()) for _ in range(2)]
        assert accept_queue(endpoint) == AcceptQueue(2, 5)
        assert room_at(endpoint) == 1
        listener.accept()[0].close()
        assert room_at(endpoint) == 2
        for connection in waiting:
            connection.close()


def test_a_listener_on_all_addresses_is_found_by_the_one_it_is_reached_at() -> None:
    with socket.create_server(("0.0.0.0", 0), backlog=7) as listener:
        assert accept_queue(f"127.0.0.1:{listener.getsockname()[1]}") == AcceptQueue(0, 7)


def test_where_nobody_listens_nothing_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
    assert accept_queue(endpoint) is None
    assert room_at("example.test:80") is None


def test_without_room_nothing_goes_and_with_a_little_only_so_many() -> None:
    slices = Slices()
    assert not slices.add(0, room=0)
    for request in range(1, 10):
        assert not slices.add(request, room=3)
    assert slices.next(room=0) == ()
    assert slices.next(room=2) == (0, 1)
    assert slices.next(room=100) == (2, 3, 4, 5)
    assert len(slices.next(room=None)) == FIRST


def test_a_program_that_never_accepts_is_sent_one_after_a_while() -> None:
    slices = Slices()
    slices.add(1, room=0)
    slices.add(2, room=0)
    looks = 0
    while not (portion := slices.next(room=0)):
        looks += 1
        assert looks < 1000
    assert portion == (1,)
    assert looks > 100
    assert not slices.at_rest
