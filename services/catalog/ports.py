"""Ports as compose writes them, short and long, → target, published address and protocol of each.

Owns the syntax (`8080`, `80:8080`, `127.0.0.1:80:8080/udp`, `[::1]:80:80`, ranges) and nothing of which port is a
service's main one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from services.catalog.faults import Findings
from services.catalog.tree import Path, Row, Table, Value

HIGHEST = 65535
MOST = 1000
"""Ports of one service; more is a range that nobody meant."""
_SHORT = re.compile(
    r"(?:(?P<host>\[[^\]]*\]|[^:\[\]]*):)?(?:(?P<published>[^:/]*):)?(?P<target>[^:/]+)(?:/(?P<proto>\w+))?\Z"
)
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?\Z")
_LONG = ("name", "mode", "host_ip", "target", "published", "protocol", "app_protocol")
_PROTOCOLS = ("tcp", "udp", "sctp")
_WANTED = "a port such as 8080, 80:8080 or 127.0.0.1:80:8080/udp"


@dataclass(frozen=True, slots=True)
class Mapped:
    """One port of `ports:`; as many of them as a range holds."""

    target: int
    published: str = ""
    """The host's port, a range of which any one will do, or empty: none was asked for."""
    host: str = ""
    """The host's address; empty where none was said."""
    protocol: str = "tcp"
    index: int = 0
    """Which item of the list said so, for a fault."""

    @property
    def number(self) -> int | None:
        """The host's port; None where it is left open."""
        first = self.published.partition("-")[0]
        return int(first) or None if first else None


def parse_ports(row: Row, path: Path, findings: Findings) -> tuple[Mapped, ...]:
    found: list[Mapped] = []
    for index, item, mark in row.places():
        try:
            found.extend(
                _long(item, index, (*path, index), findings) if isinstance(item, Table) else _short(item, index)
            )
        except ValueError as error:
            findings.at(mark, (*path, index), str(error), item)
        if len(found) > MOST:
            findings.at(mark, path, f"at most {MOST} ports")
            break
    return tuple(found[:MOST])


def parse_expose(row: Row, path: Path, findings: Findings) -> tuple[int, ...]:
    """TCP ports of `expose:`; the others are none that a gateway could serve."""
    found: list[int] = []
    for index, item, mark in row.places():
        text = str(item) if isinstance(item, str | int) and not isinstance(item, bool) else ""
        number, _, protocol = text.partition("/")
        try:
            first, last = _range(number)
        except ValueError:
            findings.at(mark, (*path, index), "a port or a range, such as 8080 or 8080-8082", item)
            continue
        if protocol in ("", "tcp"):
            found.extend(range(first, last + 1))
    return tuple(found)


def _short(item: Value, index: int) -> list[Mapped]:
    if isinstance(item, bool) or not isinstance(item, str | int):
        raise ValueError(_WANTED)
    match = _SHORT.match(str(item))
    if match is None:
        raise ValueError(_WANTED)
    host, published, target = match["host"], match["published"], match["target"]
    if published is None and host is not None and not host.startswith("["):
        host, published = None, host
    protocol = match["proto"] or "tcp"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"a protocol of {', '.join(_PROTOCOLS)}")
    return _pairs(address(host or ""), published or "", _range(target), protocol, index)


def _pairs(host: str, published: str, target: tuple[int, int], protocol: str, index: int) -> list[Mapped]:
    """A range of targets goes with as long a range of the host's ports; one target takes any of them."""
    first, last = target
    if not published:
        return [Mapped(number, "", host, protocol, index) for number in range(first, last + 1)]
    low, high = _range(published, lowest=0)
    if first == last:
        return [Mapped(first, published, host, protocol, index)]
    if high - low != last - first:
        raise ValueError(f"two ranges of the same length (there are {last - first + 1} targets)")
    return [Mapped(first + step, str(low + step), host, protocol, index) for step in range(last - first + 1)]


def _long(table: Table, index: int, path: Path, findings: Findings) -> list[Mapped]:
    for key, _, mark in table.places():
        if key not in _LONG and not key.startswith("x-"):
            findings.at(mark, (*path, key), f"one of {', '.join(_LONG)}", key, findings.near(key, _LONG))
    target, published, host = table.get("target"), table.get("published", ""), table.get("host_ip", "")
    protocol = table.get("protocol", "tcp")
    if target is None:
        raise ValueError("a mapping with target")
    for value in (target, published):
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError("target and published that are ports from 1 to 65535")
    if not isinstance(host, str) or not isinstance(protocol, str):
        raise ValueError("host_ip and protocol that are texts")
    number, _ = _range(str(target))
    if published != "":
        _range(str(published), lowest=0)
    return [Mapped(number, str(published), address(host), protocol, index)]


def _range(text: str, lowest: int = 1) -> tuple[int, int]:
    match = _RANGE.match(text)
    if match is None:
        raise ValueError(_WANTED)
    first, last = int(match[1]), int(match[2] or match[1])
    if not lowest <= first <= last <= HIGHEST:
        raise ValueError(f"ports from {lowest} to {HIGHEST}, the lower one first")
    if last - first >= MOST:
        raise ValueError(f"a range of at most {MOST} ports")
    return first, last


def address(text: str) -> str:
    """An address of the host, with or without brackets, as everybody writes it; empty stays so. Raises ValueError."""
    inner = text[1:-1] if text.startswith("[") else text
    if not inner:
        return ""
    try:
        return str(ipaddress.ip_address(inner))
    except ValueError:
        raise ValueError("an IP address of this host before the ports, such as 127.0.0.1") from None
