"""Who listens where, as the kernel tells it by netlink, against sockets of our own."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address

import pytest

from services.scaler.drivers.process.sockets import listeners, listeners_of, owner_of


@pytest.mark.parametrize(
    ("family", "host", "shown", "beyond"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1:{}", False),
        (socket.AF_INET, "0.0.0.0", "0.0.0.0:{}", True),
        (socket.AF_INET6, "::1", "[::1]:{}", False),
        (socket.AF_INET6, "::", "[::]:{}", True),
        (socket.AF_INET6, "::ffff:127.0.0.1", f"[{ip_address('::ffff:127.0.0.1')}]:{{}}", False),
    ],
)
def test_a_listener_is_found_with_its_address_and_its_owner(
    family: socket.AddressFamily, host: str, shown: str, beyond: bool
) -> None:
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen(5)
        port = server.getsockname()[1]
        (found,) = [one for one in listeners_of([os.getpid()]) if one.port == port]
        owner = owner_of(found.inode)
    assert (str(found), found.beyond_loopback) == (shown.format(port), beyond)
    assert owner is not None
    assert owner.pid == os.getpid()


def test_what_is_bound_or_connected_is_no_listener() -> None:
    with socket.socket() as bound, socket.create_server(("127.0.0.1", 0)) as server:
        bound.bind(("127.0.0.1", 0))
        with socket.create_connection(server.getsockname()) as client:
            ports = {one.port for one in listeners()}
            assert server.getsockname()[1] in ports
            assert bound.getsockname()[1] not in ports
            assert client.getsockname()[1] not in ports


def test_all_of_many_listeners_are_told() -> None:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(600)]
    try:
        ports = {server.getsockname()[1] for server in servers}
        assert ports <= {one.port for one in listeners_of([os.getpid()])}
    finally:
        for server in servers:
            server.close()
