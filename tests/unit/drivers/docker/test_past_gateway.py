"""Who is connected to a container, by the kernel's own table of its network."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.scaler.drivers.docker.containers import published
from services.scaler.drivers.docker.past_gateway import against_pause, connections

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(port: int, state: str, address: str = "0200D20A") -> str:
    return f"   1: {address}:{port:04X} 0100D20A:AD52 {state} 00000000:00000000 00:00000000 00000000 0 0 5875362 2\n"


def test_only_what_is_established_at_a_port_of_its_own_counts(tmp_path: Path) -> None:
    folder = tmp_path / "12" / "net"
    folder.mkdir(parents=True)
    (folder / "tcp").write_text(HEAD + row(8080, "0A") + row(8080, "01") + row(8080, "08") + row(40000, "01"))
    (folder / "tcp6").write_text(HEAD + row(8080, "01", "0" * 24 + "0200D20A") + row(9090, "01", "0" * 32))
    assert connections(12, {8080}, tmp_path) == 2
    assert connections(12, {8080, 9090}, tmp_path) == 3


def test_a_process_that_has_gone_has_no_callers(tmp_path: Path) -> None:
    assert connections(12, {8080}, tmp_path) == 0


def test_where_nobody_may_look_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "12" / "net" / "tcp").mkdir(parents=True)
    assert connections(12, {8080}, tmp_path) is None


@pytest.mark.parametrize(
    ("bindings", "ports"),
    [
        (None, set()),
        ({}, set()),
        ({"8080/tcp": None}, set()),
        ({"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "1"}], "53/udp": [{"HostPort": "53"}]}, {8080}),
    ],
)
def test_published_are_the_ports_that_have_an_address_of_the_host(bindings: object, ports: set[int]) -> None:
    assert published({"HostConfig": {"PortBindings": bindings}}) == ports
    assert (against_pause(ports) is None) is (not ports)
