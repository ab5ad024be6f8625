"""Own ports that Envoy could not have, since somebody else listened there: when they are offered to it once more.

Envoy tries a listener once, says in its log that the port is taken, and goes on without it. When it reads its listeners
anew it tries those that it lacks, and leaves the others and their connections alone. So the kernel is asked once a
second who listens, and when a replica has gone, which may have held a port itself; that takes 0.02 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_address

from services import netlink
from services.catalog.addresses import IPAddress, collide
from services.catalog.model import Catalog
from services.scaler.mesh.config.common import address_of
from services.scaler.mesh.config.own_routes import own_ports

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between looks, at most."""
_LONGEST_PAUSE = 64.0

Address = tuple[IPAddress, int]


class Unheld:
    """Pure: which looks at the listeners are reason to offer them again."""

    def __init__(self) -> None:
        self._held: frozenset[Address] = frozenset()
        self._free: frozenset[Address] = frozenset()
        self._pause = INTERVAL
        self._due = 0.0

    def look(self, wanted: Collection[Address], listening: Collection[Address], now: float) -> bool:
        """At once for a port that somebody has left since the last look. Else Envoy may just be about to take it, or
        it cannot be had at all (a low port, no such address): that is tried again after pauses that become longer."""
        free = frozenset(_without_listener(wanted, listening))
        left, self._held = free & self._held, frozenset(wanted) - free
        if left or free != self._free:
            self._pause, self._due = INTERVAL, now if left else now + INTERVAL
        self._free = free
        if not free or now < self._due:
            return False
        self._due, self._pause = now + self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return True


def wanted_ports(catalog: Catalog, *, ipv6: bool) -> tuple[Address, ...]:
    """Where the edge listens for one service alone. `ipv6`: what listens everywhere does so there too."""
    published = [at for _, (_, _, at) in own_ports(catalog)]
    found = [(ip_address(address_of(at.host)), at.number) for at in published]
    return (*found, *((netlink.ALL_OF_IPV6, at.number) for at in published if ipv6 and not at.host))


async def watch(wanted: Callable[[], Collection[Address]], offer: Callable[[], None], soon: asyncio.Event) -> None:
    """Look for ever; ends when cancelled, and where the kernel does not tell. `offer` may raise OSError. `soon`: set
    by whoever knows that a port may just have been left; the next look is at once then."""
    unheld, loop = Unheld(), asyncio.get_running_loop()
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await soon.wait()
        soon.clear()
        try:
            due = bool(wanted()) and unheld.look(wanted(), listening(), loop.time())
        except OSError as error:
            log.warning("ports that others give up are not noticed, since the kernel does not tell: %s", error)
            return
        try:
            if due:
                offer()
        except OSError as error:
            log.warning("listeners could not be offered again: %s", error)


def has_ipv6() -> bool:
    """Whether this network namespace has IPv6 to listen at."""
    try:
        with socket.socket(socket.AF_INET6) as asked:
            asked.bind(("::", 0))
    except OSError:
        return False
    return True


def listening() -> tuple[Address, ...]:
    """All of this network namespace. Raises OSError where the kernel does not tell."""
    found = (*netlink.listening(socket.AF_INET), *netlink.listening(socket.AF_INET6))
    return tuple((address, one.port) for one in found for address in one.addresses())


def _without_listener(wanted: Collection[Address], listening: Collection[Address]) -> Iterator[Address]:
    numbers = {port for _, port in wanted}
    there: dict[int, list[IPAddress]] = {}
    for address, port in listening:
        if port in numbers:
            there.setdefault(port, []).append(address)
    for address, port in wanted:
        if not any(collide(address, other) for other in there.get(port, ())):
            yield address, port
