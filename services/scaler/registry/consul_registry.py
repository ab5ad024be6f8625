"""The registry as the composition root sees it. Consul may be away at any time: the hub then goes on without it.

Three loops: one reads the fleet when it has changed, one brings Consul's word up to date and feeds the checks, one
waits for news of others. A fault ends none of them; it is told once, in the log and in `trouble`, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from services.scaler.registry.client import Away, Client, Denied
from services.scaler.registry.desired import ConsulAt, Here
from services.scaler.registry.foreign import ForeignServices, selected
from services.scaler.registry.registrar import Registrar
from services.scaler.registry.standing import Standing
from services.scaler.registry.watcher import Instances, Watcher

log = logging.getLogger(__name__)

_GATHER = 0.2
"""Seconds in which changes come together before the fleet is read again."""
_PAUSE_FIRST, _PAUSE_MOST = 0.2, 5.0
"""Seconds until Consul is tried again; doubled each time."""
_FAREWELL = 3.0
"""Seconds for taking everything back at the end."""
_MEND_TOKEN = "give $AIHUB_CONSUL_TOKEN one with the policy config/consul/policies/aihub-scaler.hcl"


class ConsulRegistry:
    """`changed` at will, `run` once, on the running loop."""

    def __init__(
        self,
        at: ConsulAt,
        here: Here,
        read: Callable[[], Sequence[Standing]],
        post: Callable[[ForeignServices], None],
        *,
        ttl: float = 30.0,
    ) -> None:
        """`read`: how every service stands; asked at most five times a second. `post`: told what the gateway shall
        serve from elsewhere, the whole of it whenever it has changed. `ttl`: seconds after which an instance that was
        not fed is critical; it is fed three times in that time. Raises ValueError for a URL that is none."""
        at.parts()
        self._at = at
        self._here = here
        self._read = read
        self._post = post
        self._ttl = ttl
        self._changed = asyncio.Event()
        self._news = asyncio.Event()
        """The standings have changed, or what Consul last said is in doubt."""
        self._back = asyncio.Event()
        """Consul has just answered after a fault."""
        self._doubt = True
        self._standings: tuple[Standing, ...] | None = None
        """None until the fleet was read: until then nothing that Consul says is known to be wrong."""
        self._instances: Instances = {}
        self._foreign = ForeignServices()
        self._faults: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """What is wrong and what mends it; empty while all is well."""
        return "; ".join(dict.fromkeys(self._faults.values()))

    @property
    def foreign(self) -> ForeignServices:
        return self._foreign

    def changed(self) -> None:
        """Something about the fleet may have changed. Cheap; to be called after every event."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled; then every word of this hub is taken back, within three seconds. Raises nothing else."""
        client = Client(self._at)
        registrar = Registrar(client, self._here, self._ttl)
        watcher = Watcher(client, self._here.hub, self._learn)
        self._changed.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._notice(watcher))
                group.create_task(self._tell(registrar, watcher))
                group.create_task(self._watch(watcher))
        finally:
            await _leave(registrar)
            await client.close()

    # -- the fleet -----------------------------------------------------------------------------------------------------

    async def _notice(self, watcher: Watcher) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._tried("the fleet", self._take_in(watcher))
            await asyncio.sleep(_GATHER)

    async def _take_in(self, watcher: Watcher) -> None:
        standings = tuple(self._read())
        if standings != self._standings:
            self._standings = standings
            self._news.set()
            watcher.catalog(standing.service.name for standing in standings)
            self._choose()
        self._well("the fleet")

    # -- Consul's word about this hub ----------------------------------------------------------------------------------

    async def _tell(self, registrar: Registrar, watcher: Watcher) -> None:
        pause = _PAUSE_FIRST
        while True:
            if await self._tried("registration", self._keep(registrar, watcher)):
                pause = _PAUSE_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, _PAUSE_MOST)

    async def _keep(self, registrar: Registrar, watcher: Watcher) -> None:
        """Ends when it is in doubt what Consul says."""
        self._doubt = False
        await registrar.look()
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._doubt:
            self._news.clear()
            if self._standings is not None:
                await registrar.follow(self._standings)
                self._well("registration")
            if loop.time() >= due:
                if not await registrar.feed():
                    self._doubt = True
                    watcher.anew()
                due = loop.time() + self._ttl / 3
            if not self._doubt:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._news.wait()

    # -- others --------------------------------------------------------------------------------------------------------

    async def _watch(self, watcher: Watcher) -> None:
        pause, loop = _PAUSE_FIRST, asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await self._tried("news of others", watcher.run())
            if loop.time() - begun > _PAUSE_MOST:
                pause = _PAUSE_FIRST
            # A query that breaks off is the first sign of a Consul that has forgotten everything.
            self._doubt = True
            self._news.set()
            self._back.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._back.wait()
            pause = min(pause * 2, _PAUSE_MOST)

    def _learn(self, instances: Instances) -> None:
        self._well("news of others")
        self._instances = instances
        self._choose()

    def _choose(self) -> None:
        foreign = selected(self._instances, self._standings or ())
        if foreign != self._foreign:
            self._foreign = foreign
            self._post(foreign)

    # -- faults --------------------------------------------------------------------------------------------------------

    async def _tried(self, what: str, work: Coroutine[Any, Any, None]) -> bool:
        """Whether it ended without a fault."""
        try:
            await work
        except Denied as fault:
            self._ill(what, f"Consul at {self._at.url} denies the hub's token what it needs ({fault}): {_MEND_TOKEN}")
        except Away as fault:
            self._ill(what, f"Consul at {self._at.url} does not answer ({fault}): the hub goes on without it")
        except Exception as fault:  # whatever it is, the hub does not need Consul to serve
            log.exception("%s with Consul broke", what)
            self._ill(what, f"{what} with Consul at {self._at.url} broke: {fault}")
        else:
            return True
        return False

    def _ill(self, what: str, story: str) -> None:
        before, self._faults[what] = self._faults.get(what, ""), story
        # How exactly it does not answer differs from time to time; that it does not is worth one line.
        if before.partition("(")[0] != story.partition("(")[0] and story not in [
            other for name, other in self._faults.items() if name != what
        ]:
            log.warning("%s: %s", what, story)

    def _well(self, what: str) -> None:
        if self._faults.pop(what, ""):
            log.info("%s: Consul at %s does what it is asked again", what, self._at.url)
            self._back.set()


async def _leave(registrar: Registrar) -> None:
    try:
        async with asyncio.timeout(_FAREWELL):
            await registrar.leave()
    except (Away, Denied, TimeoutError) as fault:
        log.warning("Consul was not told that the hub has ended, and will notice by itself: %s", fault or "no answer")
