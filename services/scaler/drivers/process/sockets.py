"""Who listens where, and whose listeners they are: the kernel's own answer."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from services import netlink
from services.scaler.drivers.process.proc import Process, processes


@dataclass(frozen=True, slots=True)
class Listener:
    address: IPv4Address | IPv6Address
    port: int
    inode: int
    takes: tuple[IPv4Address | IPv6Address, ...] = ()
    """Of both families where it is on all addresses of IPv6, as a rule."""

    @property
    def beyond_loopback(self) -> bool:
        mapped = self.address.ipv4_mapped if isinstance(self.address, IPv6Address) else None
        return not (mapped or self.address).is_loopback

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


def listeners() -> list[Listener]:
    """Every listening TCP socket of this network namespace. Raises OSError where the kernel does not tell."""
    found = (*netlink.listening(socket.AF_INET), *netlink.listening(socket.AF_INET6))
    return [Listener(ip_address(one.address), one.port, one.inode, one.addresses()) for one in found]


def listeners_of(pids: Iterable[int]) -> list[Listener]:
    """Those that these processes hold, without doubles, in the order of their ports."""
    inodes = {inode for pid in pids for inode in _socket_inodes(pid)}
    return sorted((one for one in listeners() if one.inode in inodes), key=lambda one: (one.port, str(one.address)))


def owner_of(inode: int) -> Process | None:
    """A process that holds the socket; None where we may not see it."""
    for process in processes():
        if inode in set(_socket_inodes(process.pid)):
            return process
    return None


def _socket_inodes(pid: int) -> Iterator[int]:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])
