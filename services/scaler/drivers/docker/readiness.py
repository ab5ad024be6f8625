"""Sees that a container answers, at the address it was given, at the moment it begins to.

To be asked only after the engine has answered the start: a connection that is tried before the address exists is tried
again a second later by the kernel, and a container that needs 150 ms would take a second. The pause between two looks
is a hundredth of the time waited, 2 ms at least.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import time
from collections.abc import Coroutine, Mapping
from itertools import islice
from typing import Any

from services.catalog.model import Service
from services.scaler.drivers.base import StartError
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.health import Seen, status

log = logging.getLogger(__name__)

_SHORTEST = 0.002
_LONGEST = 0.1
_SHARE = 1 / 100
_CONNECT = 0.25
"""Longest wait in seconds for one connection: what does not answer at once on this machine has lost its packet."""
_ANSWER = 5.0
"""Longest wait in seconds for one answer of the health path."""
_HEAD = 4096
_OTHERS = 2.0
"""Seconds, or as many as it took until the main port answered, that other ports have after that. A file names ports
that nothing may ever listen on, such as a debugger's."""
_ALIVE_WITHOUT_PORT = 0.2
"""A service without port and health check is ready when it has lived so many seconds."""


async def until_ready(service: Service, live: Replica) -> None:
    """Returns when it is ready. Raises StartError; the container is left as it is then. The reason of an exit is not
    known here: the message then says only that it ended."""
    seen = Seen()
    looking = asyncio.ensure_future(_ready(service, live, seen))
    try:
        done, _ = await asyncio.wait(
            {looking, live.ended}, timeout=service.wake.start_timeout, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    if looking in done and not looking.cancelled():
        looking.result()
        return
    if live.stopping:
        raise StartError(f"{service.name} was stopped while it started")
    if live.ended in done:
        raise Died
    raise StartError(f"{service.name} was not ready within {service.wake.start_timeout:g} s: {seen}")


class Died(StartError):
    """Its container ended before it was ready."""


async def until_back(service: Service, live: Replica, within: float) -> str | None:
    """See a thawed replica answer again; None, or why it does not."""
    looking = asyncio.ensure_future(well(service, live.record.endpoints, within, patient=True))
    either: set[asyncio.Future[Any]] = {looking, live.ended}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if live.ended.done():
        looking.cancel()
        await asyncio.wait({looking})
        return "ended"
    return await looking


async def well(service: Service, endpoints: Mapping[str, str], within: float, *, patient: bool = False) -> str | None:
    """Look at the main port of a replica that was ready before; None where it is well, else what it said. One look;
    `patient`: as many as it takes until `within` is over."""
    seen = Seen()
    try:
        async with asyncio.timeout(within):
            main = main_of(service, endpoints)
            if patient:
                await _answers(service, main, seen)
                return None
            return None if await _look(service, main, seen) else str(seen)
    except TimeoutError:
        return f"{seen} within {within:g} s"


def main_of(service: Service, endpoints: Mapping[str, str]) -> dict[str, str]:
    """The port that has to answer, by name; the first of all where the main one is not among them."""
    name = service.main.name if service.main else ""
    return {name: endpoints[name]} if name in endpoints else dict(islice(endpoints.items(), 1))


async def get(endpoint: str, path: str, within: float) -> int | None:
    """The status of one GET; None where none came."""
    try:
        async with asyncio.timeout(within):
            connection = await _connected(endpoint)
            if connection is None:
                return None
            reader, writer = await asyncio.open_connection(sock=connection, limit=_HEAD)
            # Programs that check the host they are asked for know this one.
            return await status(reader, writer, path, f"localhost:{split(endpoint)[1]}")
    except (OSError, TimeoutError, ValueError):
        return None


async def listens(endpoint: str) -> bool:
    """Whether something takes a connection there now."""
    try:
        async with asyncio.timeout(_CONNECT):
            connection = await _connected(endpoint)
    except TimeoutError:
        return False
    if connection is None:
        return False
    connection.close()
    return True


async def _connected(endpoint: str) -> socket.socket | None:
    """A connection to it; None where none is taken. A program that is starting refuses some dozen times, and on this
    machine the kernel knows that before `connect` returns: the event loop is asked where it does not know yet."""
    host, port = split(endpoint)
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        if connection.connect_ex((host, port)) and not _decided(connection):
            await asyncio.get_running_loop().sock_connect(connection, (host, port))
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and connection.getpeername():
            return connection
    except OSError:
        pass
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _decided(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    return bool(poll.poll(0))


def split(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]"), int(port)


async def _ready(service: Service, live: Replica, seen: Seen) -> None:
    if live.check is not None and (service.health == "tcp" or not service.ports):
        # Its own check knows more than an open port does.
        seen.note("its health check has not passed")
        await _either(live.healthy.wait(), live.check.passed())
    if service.ports:
        begun = time.monotonic()
        await _answers(service, main_of(service, live.record.endpoints), seen)
        try:
            async with asyncio.timeout(max(_OTHERS, time.monotonic() - begun)):
                await _answers(service, live.record.endpoints, seen)
        except TimeoutError:
            log.info("%s serves, although %s", service.name, seen)
    elif live.check is None:
        await asyncio.sleep(_ALIVE_WITHOUT_PORT)


async def _either(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _answers(service: Service, endpoints: Mapping[str, str], seen: Seen) -> None:
    begun = time.monotonic()
    while True:
        if await _look(service, endpoints, seen):
            return
        await asyncio.sleep(min(max((time.monotonic() - begun) * _SHARE, _SHORTEST), _LONGEST))


async def _look(service: Service, endpoints: Mapping[str, str], seen: Seen) -> bool:
    health, main = service.health, service.main
    for name, endpoint in endpoints.items():
        if main is not None and name == main.name and health != "tcp":
            status = await get(endpoint, health, _ANSWER)
            if status is None or not 200 <= status < 300:
                seen.note(f"health {health} answered {status}" if status else f"nothing answers on port {main.number}")
                return False
        elif not await listens(endpoint):
            number = next((port.number for port in service.ports if port.name == name), split(endpoint)[1])
            seen.note(f"nothing listens on port {number}")
            return False
    return True
