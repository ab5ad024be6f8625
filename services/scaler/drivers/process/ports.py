"""Ports of replicas: loopback, outside the ephemeral range, each leased to one replica until that is gone.

Inside the ephemeral range a probe of a closed port can be given that very port as its own and connect to itself; and
any outgoing connection of the machine could take a port between the choice and the program's bind. Two hubs of one
machine begin at different places of the range, so they seldom meet.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

_LOWEST = 20_000
_HIGHEST = 65_535
_FEWEST = 1_000
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class NoPort(Exception):
    """Every port of the range is taken."""


def outside_ephemeral(ephemeral: tuple[int, int]) -> range:
    """The larger part of 20000-65535 that the kernel gives to nobody; where there is hardly any, what lies below."""
    low, high = ephemeral
    parts = (range(_LOWEST, min(low, _HIGHEST + 1)), range(max(high + 1, _LOWEST), _HIGHEST + 1))
    best = max(parts, key=len)
    return best if len(best) >= _FEWEST else range(10_000, _LOWEST)


def ephemeral_range() -> tuple[int, int]:
    try:
        low, high = _RANGE_FILE.read_text().split()
    except (OSError, ValueError):
        return 32_768, 60_999
    return int(low), int(high)


class PortLeases:
    def __init__(self, data: Path, ports: range | None = None) -> None:
        self._ports = ports if ports is not None else outside_ephemeral(ephemeral_range())
        self._leased: dict[str, frozenset[int]] = {}
        mark = hashlib.sha256(os.fsencode(data)).digest()
        self._next = int.from_bytes(mark[:4], "big") % len(self._ports)

    def lease(self, holder: str, names: Iterable[str]) -> Mapping[str, int]:
        """One free port a name. The search goes round the whole range, so a port that came back is issued again only
        after all others. Raises NoPort."""
        taken = {port for ports in self._leased.values() for port in ports}
        found: dict[str, int] = {}
        for name in names:
            found[name] = self._free(taken)
            taken.add(found[name])
        self._leased[holder] = frozenset(found.values())
        return found

    def hold(self, holder: str, ports: Iterable[int]) -> None:
        """Take up a lease of an earlier life."""
        self._leased[holder] = frozenset(ports)

    def end(self, holder: str) -> None:
        self._leased.pop(holder, None)

    def holders(self) -> list[str]:
        return list(self._leased)

    def _free(self, taken: set[int]) -> int:
        for _ in range(len(self._ports)):
            port = self._ports[self._next]
            self._next = (self._next + 1) % len(self._ports)
            if port not in taken and _can_bind(port):
                return port
        raise NoPort(f"no free port between {self._ports.start} and {self._ports.stop - 1}")


def _can_bind(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((address, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            # No IPv6 on this machine: then nobody can hold the port there.
    return True
