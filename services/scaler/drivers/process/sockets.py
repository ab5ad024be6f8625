"""Who listens where: the kernel's own answer, by netlink.

`/proc/net/tcp` tells the same, but the kernel walks its whole table of connections for it: 10 ms on an idle machine, in
the middle of every wake. The dump of `sock_diag(7)` walks listening sockets alone and takes 0.02 ms.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from services.scaler.drivers.process.proc import Process, processes

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP_REQUEST = 0x301
_DONE, _ERROR = 3, 2
_TCP_LISTEN = 10
_HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence, port id."""
_REQUEST = struct.Struct("=BBBBI48x")
"""Family, protocol, extensions, padding, states; a socket id that a dump ignores."""
_SOURCE_PORT, _SOURCE, _INODE = 4, 8, 68
"""Where they stand in an answer (struct inet_diag_msg)."""


@dataclass(frozen=True, slots=True)
class Listener:
    address: IPv4Address | IPv6Address
    port: int
    inode: int

    @property
    def beyond_loopback(self) -> bool:
        mapped = self.address.ipv4_mapped if isinstance(self.address, IPv6Address) else None
        return not (mapped or self.address).is_loopback

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


def listeners() -> list[Listener]:
    """Every listening TCP socket of this network namespace. Raises OSError where the kernel does not tell."""
    return [*_listening(socket.AF_INET, 4), *_listening(socket.AF_INET6, 16)]


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


def _listening(family: int, width: int) -> Iterator[Listener]:
    """`width`: bytes of an address."""
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << _TCP_LISTEN)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 1, 0) + body)
        for message in _messages(kernel):
            (port,) = struct.unpack_from("!H", message, _SOURCE_PORT)
            (inode,) = struct.unpack_from("=I", message, _INODE)
            yield Listener(ip_address(message[_SOURCE : _SOURCE + width]), port, inode)


def _messages(kernel: socket.socket) -> Iterator[bytes]:
    """The bodies of a dump's answers, up to its end."""
    while True:
        data, at = kernel.recv(1 << 16), 0
        while at < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", data, at + _HEADER.size)
                raise OSError(-code, os.strerror(-code))
            yield data[at + _HEADER.size : at + length]
            at += (length + 3) & ~3


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
