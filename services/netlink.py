"""Asks the kernel about TCP listeners by netlink (`sock_diag(7)`): the wire format, and nothing of what it is for.

`/proc/net/tcp` tells the same, but the kernel walks its whole table of connections for it: 10 ms on an idle machine, in
the middle of every wake. A dump by netlink walks listening sockets alone and takes 0.02 ms, as does one question.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST, _DUMP_REQUEST = 0x1, 0x301
_ERROR, _DONE = 2, 3
_TCP_LISTEN = 10
_HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence, port id."""
_ASKED = struct.Struct("=BBBBI2s2s16s16sIQ")
"""Family, protocol, extensions, padding, states; source port, destination port, source, destination, interface and
cookie, which a dump ignores."""
_TOLD = struct.Struct("=BBBB2s2s16s16sIQIIIII")
"""Family, state, timer, retransmissions; the socket as it was asked for; expiry, receive queue, send queue, owner,
inode."""
_ATTRIBUTE = struct.Struct("=HH")
"""Length, with this head, and type."""
_IPV6_ONLY = 11
_NO_COOKIE = (1 << 64) - 1
_WIDTH: Mapping[int, int] = MappingProxyType({socket.AF_INET: 4, socket.AF_INET6: 16})
_LARGEST = 1 << 16
ALL_OF_IPV4, ALL_OF_IPV6 = IPv4Address(0), IPv6Address(0)


@dataclass(frozen=True, slots=True)
class Listening:
    """One listening TCP socket."""

    address: bytes
    """Four bytes, or sixteen."""
    port: int
    inode: int
    waiting: int
    """Connections that nobody has accepted yet."""
    backlog: int
    """How many may wait, as the kernel cut it."""
    ipv6_only: bool = False
    """Of IPv6, and not of IPv4 too."""

    def addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """Those that it takes. One on all of IPv6 mostly takes all of IPv4 too, and one of IPv6 may have an address of
        IPv4."""
        address = ip_address(self.address)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        both = address == ALL_OF_IPV6 and not self.ipv6_only
        return (address, ALL_OF_IPV4) if both else (mapped or address,)


def listening(family: socket.AddressFamily) -> Iterator[Listening]:
    """All of this network namespace. Raises OSError where the kernel does not tell."""
    with _kernel() as kernel:
        kernel.send(_question(family, bytes(16), 0, _DUMP_REQUEST))
        while True:
            for kind, body in _messages(kernel.recv(_LARGEST)):
                if kind == _DONE:
                    return
                yield _read(body)


def listener(family: socket.AddressFamily, address: bytes, port: int) -> Listening | None:
    """The one that a connection to this address would meet; None where there is none. Raises OSError where the kernel
    does not tell. Never waits."""
    with _kernel() as kernel:
        kernel.send(_question(family, address, port, _REQUEST))
        try:
            for _, body in _messages(kernel.recv(_LARGEST, socket.MSG_DONTWAIT)):
                if len(body) >= _TOLD.size and body[1] == _TCP_LISTEN:
                    return _read(body)
        except FileNotFoundError:
            return None
    return None


def _kernel() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)


def _question(family: socket.AddressFamily, address: bytes, port: int, flags: int) -> bytes:
    source = address.ljust(16, b"\0")
    body = _ASKED.pack(
        family,
        socket.IPPROTO_TCP,
        0,
        0,
        1 << _TCP_LISTEN,
        port.to_bytes(2, "big"),
        bytes(2),
        source,
        bytes(16),
        0,
        _NO_COOKIE,
    )
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each. Raises OSError where one tells of an error."""
    at = 0
    while at < len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        body = data[at + _HEADER.size : at + length]
        if kind == _ERROR:
            (code,) = struct.unpack_from("=i", body)
            raise OSError(-code, os.strerror(-code))
        yield kind, body
        at += (length + 3) & ~3


def _read(body: bytes) -> Listening:
    family, _, _, _, port, _, address, _, _, _, _, waiting, backlog, _, inode = _TOLD.unpack_from(body)
    number, only = int.from_bytes(port, "big"), bool(_attribute(body, _IPV6_ONLY).strip(b"\0"))
    return Listening(address[: _WIDTH[family]], number, inode, waiting, backlog, only)


def _attribute(body: bytes, wanted: int) -> bytes:
    """Empty where the kernel does not tell of it."""
    at = _TOLD.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == wanted:
            return body[at + _ATTRIBUTE.size : at + length]
        at += max(length + 3 & ~3, _ATTRIBUTE.size)
    return b""
