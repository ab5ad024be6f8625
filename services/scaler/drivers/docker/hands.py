"""Somebody else's hand: containers that are started, stopped, frozen, thawed or removed by others, or die.

Owns what such a change means and the news of it. Our own verbs leave a word with the replica first (`stopping`,
`ours`), so that their events are no news. Containers of no service of the catalogue are none of our business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from services.catalog.model import Service
from services.scaler.core.events import Appeared, End, Exited, Meddled
from services.scaler.drivers.base import Post, StartError
from services.scaler.drivers.docker import readiness, replicas
from services.scaler.drivers.docker.book import Book, Change, Container, State, What
from services.scaler.drivers.docker.containers import Containers
from services.scaler.drivers.docker.engine import EngineAway, EngineRefused
from services.scaler.drivers.docker.records import Phase
from services.scaler.drivers.docker.replica import Replica
from services.scaler.drivers.docker.roster import Roster, told

log = logging.getLogger(__name__)

_THAWED_TO_END = 0.1
"""Seconds after which a thaw was not the beginning of a stop."""
_ECHO_OVER = 0.5
"""Seconds after which what the engine says of a container is no echo of a state before."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Hands:
    """`gone` is called for a replica whose container has ended unasked, before the news of it."""

    def __init__(
        self,
        roster: Roster,
        book: Book,
        containers: Containers,
        post: Post,
        spawn: Spawn,
        gone: Callable[[Replica, str], None],
    ) -> None:
        self._roster = roster
        self._book = book
        self._containers = containers
        self._post = post
        self._spawn = spawn
        self._gone = gone
        self._guests: dict[str, Replica] = {}
        """Containers that somebody has started and that are not ready yet."""

    def changed(self, change: Change) -> None:
        live = self._roster.on(change.container.id)
        guest = self._guests.get(change.container.id)
        for one in (live, guest):
            if one is not None:
                self._note(one, change)
        if live is not None:
            self._news(live, change)
        elif guest is None and change.what in (What.STARTED, What.UNPAUSED):
            self.appears(change.container)

    def appears(self, container: Container) -> None:
        """A container runs that belongs to no replica; news of it when it serves."""
        service = self._roster.service_of(container)
        if service is not None and container.id not in self._guests:
            self._spawn(self._receive(service, container))

    def _note(self, live: Replica, change: Change) -> None:
        match change.what:
            case What.ENDED | What.REMOVED:
                live.code = change.container.exit_code
                live.end()
            case What.HEALTH if change.container.health == "healthy":
                live.healthy.set()
            case What.OOM:
                live.oom = True
            case What.SIGNALLED:
                live.signalled = asyncio.get_running_loop().time()
            case _:
                pass

    def _news(self, live: Replica, change: Change) -> None:
        if live.counts_off(change.what):
            return
        if live.stopping or live.record.phase is Phase.STARTING:
            return  # Whoever waits for its end or its readiness sees it there.
        may_be_echo = live.may_be_echo(change.what)
        match change.what:
            case What.ENDED | What.REMOVED:
                self._spawn(self._bury(live))
            case What.PAUSED:
                live.saw(change.what)
                if may_be_echo:
                    self._spawn(self._frozen(live))
                else:
                    self._meddled(live, "paused", live.record.phase is Phase.PAUSED)
            case What.UNPAUSED:
                live.saw(change.what)
                self._spawn(self._thawed(live, _ECHO_OVER if may_be_echo else _THAWED_TO_END))
            case _:
                pass

    async def _frozen(self, live: Replica) -> None:
        """Frozen and thawed in quick succession, the engine's runtime tells it of the freeze after we had it thawed:
        then it says that the container is frozen, which it is not, and a moment later that it was thawed."""
        await asyncio.sleep(_ECHO_OVER)
        now = self._book.get(live.record.container)
        if now is not None and now.state is State.PAUSED and not (live.ended.done() or live.stopping):
            self._meddled(live, "paused", live.record.phase is Phase.PAUSED)

    async def _thawed(self, live: Replica, wait: float) -> None:
        """To stop a frozen container the engine thaws it first, and says afterwards what it was told."""
        await asyncio.sleep(wait)
        now = self._book.get(live.record.container)
        runs = now is not None and now.state is State.RUNNING
        if runs and not (live.ended.done() or live.stopping or live.was_told_to_end()):
            self._meddled(live, "running", live.record.phase is not Phase.PAUSED)

    def _meddled(self, live: Replica, now: str, as_it_should_be: bool) -> None:
        if as_it_should_be:
            live.meddled = False
        elif not live.meddled:
            live.meddled = True
            self._post(Meddled(live.id, now))

    async def _bury(self, live: Replica) -> None:
        live.stopping = True
        by_hand = live.was_told_to_end()
        if by_hand:
            live.unwatch()  # its end says nothing about how it bears a pause
        # Until the news is out requests still go to its address: nothing is asked one after the other.
        ended, words = await asyncio.gather(
            self._containers.ended(live.record.container, oom=live.oom, code=live.code),
            self._containers.last_words(live.record.container),
        )
        if self._roster.get(live.id) is live:
            self._gone(live, ended.manner)
            service = self._roster.service_by_name(live.record.service)
            end = replicas.end_of(service, ended, by_hand=by_hand)
            self._post(Exited(live.id, f"{live.record.service} {ended.manner}{words}", end))
            if end is End.LEFT:
                self.reappears(live.record.container)

    def reappears(self, container: str) -> None:
        """The engine may have started it again while its end was still being told."""
        now = self._book.get(container)
        if now is not None and now.runs and self._roster.on(container) is None:
            self.appears(now)

    def look_again(self) -> None:
        """The engine was away: what seems to run as before may have been ended and started anew meanwhile."""
        for live in self._roster:
            live.lose_events()
            if live.record.phase is not Phase.STARTING and not live.ended.done():
                self._spawn(self._compare(live))

    async def _compare(self, live: Replica) -> None:
        service = self._roster.service_by_name(live.record.service)
        container = self._book.get(live.record.container)
        if service is None or container is None:
            return
        try:
            alive = await self._containers.look(service, container.id)
        except (EngineRefused, EngineAway):
            return  # Its end is told by its event, or by the next look.
        known = live.record.pid
        if alive.running and known and alive.pid != known and not live.stopping and self._roster.get(live.id) is live:
            live.stopping = True
            live.end()
            self._gone(live, "was ended")
            self._post(Exited(live.id, f"{live.record.service} was ended and started anew while the engine was away"))
            self.appears(container)

    async def _receive(self, service: Service, container: Container) -> None:
        fits = self._containers.fits(service, container)
        record = self._roster.by_hand(service, container, service.digest if fits else "")
        guest = self._guests[container.id] = Replica(record)
        try:
            if await self._serves(service, container, guest):
                self._post(Appeared(told(self._roster.enter(guest))))
                self._roster.records.note(guest.record)
        except (StartError, EngineRefused, EngineAway) as error:
            log.warning("%s was started by somebody else and does not serve: %s", container.name, error)
        finally:
            self._guests.pop(container.id, None)

    async def _serves(self, service: Service, container: Container, guest: Replica) -> bool:
        """Wait until it does; false where it became ours meanwhile, or is none any more."""
        async with self._containers.making(service):
            # What compose has just begun for us is taken there.
            if self._roster.on(container.id) is not None:
                return False
        guest.take(await self._containers.take_over(service, container.id))
        guest.record = replace(guest.record, phase=Phase.READY)
        now = self._book.get(container.id)
        if now is not None and now.state is State.PAUSED:
            guest.record = replace(guest.record, phase=Phase.PAUSED)
        else:
            await readiness.until_ready(service, guest)
        await asyncio.sleep(0)
        return self._roster.on(container.id) is None and not guest.ended.done()
