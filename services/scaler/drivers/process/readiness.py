"""Sees that a replica answers, by a listener of its own, at the moment it begins to.

The pause between two looks is a hundredth of the time waited so far, 1.5 ms at least and 100 ms at most: what is lost
to the pause is half a percent of a start, where a pause that grows by half each time would lose a sixth of it. A closed
loopback port refuses in some 30 µs, so looking so often costs little; with many starts at once each looks less often.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.catalog.model import Service
from services.scaler.drivers import health
from services.scaler.drivers.base import StartError
from services.scaler.drivers.process.sockets import Listener, listeners, listeners_of, owner_of

_SHORTEST = 0.0015
_LONGEST = 0.1
_SHARE = 1 / 100
_AT_ONCE = 4
"""Starts that look at full speed; the n-fold of it looks n times less often."""
_ANSWER = 5.0
"""Longest wait in seconds for one answer of the health path."""
_HEAD = 4096
_ROOT_STAYS = 0.15
"""Seconds from the first connection on that the root must live where a child of it listens, and not itself: what was
started may be about to leave, as daemons begin, and all it began would be ended under those who were let go on."""
_looking = 0


@dataclass(slots=True)
class Seen(health.Seen):
    last: str = "nothing listens"
    by_child: bool = False
    """A listener of the tree is not the root's."""


@dataclass(frozen=True, slots=True)
class Target:
    service: Service
    ports: Mapping[str, int]
    exposed: bool
    pids: Callable[[], Sequence[int]]
    """Processes of the replica's tree; blocks for some milliseconds."""
    root: int | None = None
    """The first of them, which listens itself in most programs."""


async def answers(target: Target, seen: Seen, *, own: bool = False) -> None:
    """Return as soon as every port listens and the health path answers 2xx. Waits for ever: bound it by a timeout.
    `own`: the listeners are known to be the replica's. Raises StartError where it listens where it must not."""
    global _looking
    begun, connected = time.monotonic(), 0.0
    _looking += 1
    try:
        while True:
            if all(_connects(port, seen) for port in target.ports.values()):
                connected = connected or time.monotonic()
                # Side by side: the walk over /proc takes about as long as a program's first answer.
                healthy, own = await asyncio.gather(_healthy(target, seen), _yes() if own else _owned(target, seen))
                if healthy and own:
                    if seen.by_child:
                        await asyncio.sleep(connected + _ROOT_STAYS - time.monotonic())
                    return
            pause = min(max((time.monotonic() - begun) * _SHARE, _SHORTEST), _LONGEST)
            await asyncio.sleep(pause * max(1.0, _looking / _AT_ONCE))
    finally:
        _looking -= 1


async def well(service: Service, ports: Mapping[str, int], within: float, *, patient: bool = False) -> str | None:
    """Look at a replica that was ready before; None where it is well, else what it said. One look; `patient`: as many
    as it takes until `within` is over."""
    seen = Seen()
    target = Target(service, ports, True, tuple)
    try:
        async with asyncio.timeout(within):
            if patient:
                await answers(target, seen, own=True)
                return None
            for port in ports.values():
                if not _connects(port, seen):
                    return str(seen)
            return None if await _healthy(target, seen) else str(seen)
    except TimeoutError:
        return f"{seen} within {within:g} s"


async def get(port: int, path: str, within: float) -> int | None:
    """The status of one GET; None where none came."""
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_HEAD)
            return await health.status(reader, writer, path, f"127.0.0.1:{port}")
    except (OSError, TimeoutError, ValueError):
        return None


def _connects(port: int, seen: Seen) -> bool:
    """Without a turn of the event loop: on loopback the kernel knows the answer when the call returns, and this is
    asked hundreds of times a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        error = probe.connect_ex(("127.0.0.1", port))
        if error == errno.EINPROGRESS:
            pending = select.poll()
            pending.register(probe, select.POLLOUT)
            # Not decided at once: its backlog is full. It listens; the next look may find room.
            error = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if pending.poll(0) else errno.EAGAIN
        if error == 0 and probe.getsockname() != probe.getpeername():
            return True
    seen.note(f"port {port} takes no connection" if error == errno.EAGAIN else f"nothing listens on port {port}")
    return False


async def _healthy(target: Target, seen: Seen) -> bool:
    health, main = target.service.health, target.service.main
    if health == "tcp" or main is None:
        return True
    status = await get(target.ports[main.name], health, _ANSWER)
    if status is not None and 200 <= status < 300:
        return True
    seen.note(f"health {health} answered {status}" if status else f"health {health} gave no answer")
    return False


async def _yes() -> bool:
    return True


async def _owned(target: Target, seen: Seen) -> bool:
    """Whether our ports' listeners are the replica's own. Raises StartError where one is open to other machines."""
    found = listeners_of([target.root]) if target.root else []
    by_child = not set(target.ports.values()) <= {listener.port for listener in found}
    if by_child:
        found = await asyncio.to_thread(lambda: listeners_of(target.pids()))
    if not target.exposed and (said := _reachable(found)):
        raise StartError(f"{target.service.name} {said}")
    mine = {listener.port for listener in found}
    for port in target.ports.values():
        if port not in mine:
            seen.note(f"port {port} belongs to another program")
            return False
    seen.by_child = by_child
    return True


def beyond_loopback(pids: Sequence[int]) -> str:
    """Where these processes listen for other machines, and what mends it; empty where they do not."""
    return _reachable(listeners_of(pids))


def _reachable(found: Sequence[Listener]) -> str:
    places = ", ".join(str(listener) for listener in found if listener.beyond_loopback)
    if not places:
        return ""
    return (
        f"listens on {places}, which other machines can reach: make it listen on 127.0.0.1 (its command may have"
        " --host), or say `local: {expose: true}`"
    )


def elsewhere(pids: Sequence[int], ports: Sequence[int]) -> str:
    """Where the tree listens instead, and who has its ports; empty where there is nothing to tell."""
    told = []
    own = listeners_of(pids)
    other = [str(listener) for listener in own if listener.port not in ports]
    if other:
        told.append(f"it listens on {', '.join(other)} instead of {_named(ports)}")
    elif not own and ports:
        told.append(f"it listens nowhere; expected {_named(ports)}")
    mine = {listener.inode for listener in own}
    told.extend(_holder(listener) for listener in listeners() if listener.port in ports and listener.inode not in mine)
    return "; ".join(told)


def _holder(listener: Listener) -> str:
    owner = owner_of(listener.inode)
    who = f"{owner.name} (pid {owner.pid})" if owner else "another user's program"
    return f"port {listener.port} is held by {who}"


def _named(ports: Sequence[int]) -> str:
    return ", ".join(f"127.0.0.1:{port}" for port in ports)
