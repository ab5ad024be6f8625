"""What is done to containers: which one a replica gets, making and renewing it by compose, the engine's verbs on it.

Owns that containers are made by compose alone, that one which no longer fits its entry is renewed before it is started
and never while it runs, and that each verb of the engine is an intent. Which replica has which container is the
driver's; addresses are read here, once for each start.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from services.catalog.model import Service
from services.compose.command import ComposeError
from services.scaler.drivers.base import StartError
from services.scaler.drivers.docker import naming, networks, past_gateway
from services.scaler.drivers.docker.arrangement import Arranged, Entry, Stacks
from services.scaler.drivers.docker.book import Book, Container, State
from services.scaler.drivers.docker.checks import Check, words
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.holders import Holders
from services.scaler.drivers.docker.images import Images
from services.scaler.drivers.docker.intents import intend, is_leaving, is_stuck, until_removed
from services.scaler.drivers.docker.outlasting import outlasting
from services.scaler.drivers.docker.output import LAST_LINES, last_lines

log = logging.getLogger(__name__)

_AS_THEY_ARE: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Alive:
    """What a running container is reached by."""

    endpoints: Mapping[str, str]
    pid: int | None
    check: Check | None
    """Its own health check, where it has one."""
    running: bool = True
    healthy: bool = False
    published: frozenset[int] = frozenset()
    """Its own ports that can be called past the gateway: the engine publishes them, or a name leads there."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a container."""

    manner: str
    """Ready to follow its name."""
    for_good: bool = False
    """It is there, and the engine does not start it again by itself."""


class Containers:
    def __init__(self, engine: Engine, book: Book, stacks: Stacks, images: Images, on_made: Callable[[], None]) -> None:
        """`on_made`: called when containers, and maybe volumes and networks with them, have been made."""
        self._on_made = on_made
        self.holders: Holders | None = None
        """None where every container has a network of its own."""
        self._engine = engine
        self._book = book
        self._stacks = stacks
        self._images = images
        self._making: dict[str, asyncio.Lock] = {}
        self._nameless: set[str] = set()
        """Containers known to stand on their networks without names."""
        self._left_alone: dict[str, tuple[str, str | None]] = {}
        """Container → entry and image for which compose has just seen no need to renew it."""

    # -- which one -----------------------------------------------------------------------------------------------------

    def making(self, service: Service) -> asyncio.Lock:
        """Held while a container of the service is chosen or made: two replicas never get the same one."""
        return self._making.setdefault(service.name, asyncio.Lock())

    def all_of(self, service: Service) -> list[Container]:
        own = service.containers
        return self._book.of(own.stack, own.name) if own else []

    async def have(self, service: Service, taken: Collection[str], stuck: str = "") -> Container:
        """A container that fits the entry and belongs to no replica (`taken`: those that do), made where there is none.
        One that somebody else has started goes first. `stuck`: one that cannot be started, to be made anew by compose,
        which carries its volumes over. Raises StartError, EngineAway."""
        try:
            arranged, entry = await self._stacks.entry(service)
            await self._images.look()
            free = [one for one in self.all_of(service) if one.id not in taken]
            if running := next((one for one in free if one.runs), None):
                return running
            for one in () if stuck else free:
                if not self._stale(one, entry) and (not self.holders or await self.holders.fit(service, [one.id])):
                    return one
            return await self._make(service, arranged, entry, free, taken, stuck)
        except ComposeError as error:
            raise StartError(f"{service.name}: its container cannot be made: {error}") from error
        except KeyError as error:
            raise StartError(f"{service.name}: compose knows no service {error}; `docker compose config`") from error

    async def _make(
        self,
        service: Service,
        arranged: Arranged,
        entry: Entry,
        free: Sequence[Container],
        taken: Collection[str],
        stuck: str,
    ) -> Container:
        assert service.containers is not None
        name, present = service.containers.name, self.all_of(service)
        # To compose a container fits that cannot be started, or whose holder is another one of the same name.
        displaced = bool(self.holders and not await self.holders.fit(service, [one.id for one in free]))
        if present and len(free) == len(present):
            # None runs, so compose may renew them all; it carries anonymous volumes over.
            await self._create(arranged, name, len(present), recreate=True, fitting_too=bool(stuck) or displaced)
        else:
            for stale in free:
                await self._delete(stale.id)
            kept = len(present) - len(free)
            await self._create(arranged, name, kept + 1)
        await self.learn(arranged.stack.project, name)
        self._images.forget()
        await self._images.look()
        found = next((one for one in self.all_of(service) if one.id not in {*taken, stuck} and not one.runs), None)
        if found is None:
            raise StartError(f"{service.name}: compose made no container for it; `docker compose ps -a {name}`")
        self._left_alone[found.id] = (entry.hash, self._images.id_of(entry.image))
        self._on_made()
        return found

    async def renew(
        self, service: Service, container: Container, taken: Collection[str], why: EngineRefused
    ) -> Container:
        """Another one in its place, `why` says why: what it was made on is gone, or it is stuck. Raises StartError,
        EngineAway, EngineRefused."""
        if is_stuck(why):
            return await self.have(service, taken, container.id)
        if self._book.get(container.id) is not None:
            await self._delete(container.id)
            await until_removed(self._engine, container.id)
        self._book.forget(container.id)
        # Who removes one has often made another already, as compose does: two would write to the same volumes.
        if service.containers is not None:
            await self.learn(service.containers.stack, service.containers.name)
        return await self.have(service, taken)

    async def _create(
        self, arranged: Arranged, name: str, replicas: int, *, recreate: bool = False, fitting_too: bool = False
    ) -> None:
        async with networks.turn(self._engine, self._stacks, arranged):
            await outlasting(
                self._engine, lambda: arranged.compose.create(name, replicas, recreate, fitting_too=fitting_too)
            )

    async def bring_up(self, arranged: Arranged, name: str) -> None:
        """By compose, with what it depends on. Raises ComposeError, EngineAway, EngineRefused."""
        async with networks.turn(self._engine, self._stacks, arranged):
            await arranged.compose.up([name])
        await self.learn(arranged.stack.project, name)

    async def _delete(self, container: str) -> None:
        try:
            await self._engine.delete(f"containers/{container}")
        except EngineRefused as error:
            if not is_leaving(error):
                raise

    async def learn(self, project: str, name: str) -> None:
        """Know the containers of one compose service now, not at their events."""
        label = [f"com.docker.compose.project={project}", f"com.docker.compose.service={name}"]
        self._book.learn(await self._engine.get("containers/json", all=True, filters={"label": label}))

    def _stale(self, container: Container, entry: Entry) -> bool:
        image = self._images.id_of(entry.image)
        if self._left_alone.get(container.id) == (entry.hash, image):
            return False
        other_image = bool(image and container.image_id) and container.image_id != image
        return container.hash != entry.hash or other_image

    def fits(self, service: Service, container: Container) -> bool:
        """Whether it was made from the entry as it is now; true where compose has not answered yet."""
        entry = self._stacks.known(service)
        return entry is None or not self._stale(container, entry)

    # -- verbs of the engine -------------------------------------------------------------------------------------------

    async def start(self, service: Service, container: Container) -> None:
        """Without its names, where those belong to the gateway. Raises EngineRefused, EngineAway."""
        await self.nameless(service, container.id)
        if container.state is State.PAUSED:
            await self.unpause(container.id)
        else:
            await self._engine.post(f"containers/{container.id}/start")

    async def nameless(self, service: Service, container: str) -> None:
        """Take its names from it, where they belong to the gateway. Asks only once for each container."""
        if container in self._nameless or not naming.belongs_to_gateway(service):
            return
        entry = self._stacks.known(service)
        inspected = await self._engine.get(f"containers/{container}/json")
        if not naming.is_held(inspected):
            await naming.take_names(self._engine, inspected, entry.networks if entry else ())
        self._nameless.add(container)

    async def pause(self, container: str) -> bool:
        """Whether it ran before."""
        return await intend(self._engine, f"containers/{container}/pause", "already paused")

    async def unpause(self, container: str) -> bool:
        """Whether it was frozen before."""
        return await intend(self._engine, f"containers/{container}/unpause", "not paused")

    async def stop(self, container: str, grace: float) -> None:
        """Thawed, its own stop signal, grace (whole seconds, rounded up), SIGKILL. One that is gone is a success."""
        await intend(self._engine, f"containers/{container}/unpause", "not paused", "not running", "No such container")
        await intend(self._engine, f"containers/{container}/stop", "No such container", t=math.ceil(grace))

    async def kill(self, container: str) -> bool:
        """Whether it ran."""
        await intend(self._engine, f"containers/{container}/unpause", "not paused", "not running", "No such container")
        return await intend(self._engine, f"containers/{container}/kill", "not running", "No such container")

    # -- what is known of one ------------------------------------------------------------------------------------------

    async def look(self, service: Service, container: str) -> Alive:
        """Raises EngineRefused, EngineAway."""
        return self._alive(service, await self._engine.get(f"containers/{container}/json"))

    async def take_over(self, service: Service, container: str) -> Alive:
        """Of one that runs and that somebody else has started. Taking its names cuts every connection that it has, so
        one with callers keeps them until its next stop. Raises EngineRefused, EngineAway."""
        inspected = await self._engine.get(f"containers/{container}/json")
        alive = self._alive(service, inspected)
        if not naming.belongs_to_gateway(service) or not naming.named(inspected):
            return alive
        ports = frozenset(port.number for port in service.ports)
        pid = alive.pid if self._engine.local_root is not None else None
        callers = await asyncio.to_thread(past_gateway.connections, pid, ports) if pid else None
        if callers:
            log.info("%s has callers: its names are the gateway's from its next stop on", service.name)
            return replace(alive, published=alive.published | ports)
        await self.nameless(service, container)
        return await self.look(service, container)

    def _alive(self, service: Service, inspected: Mapping[str, Any]) -> Alive:
        container, state = inspected["Id"], inspected["State"]
        test = words(inspected["Config"].get("Healthcheck"), inspected["Config"].get("Shell"))
        held = self.holders.reached(service, inspected) if self.holders else None
        where, numbers = held or (inspected, {})
        return Alive(
            endpoints=endpoints(service, where, self._engine.own_networks, numbers),
            pid=state.get("Pid") or None,
            check=Check(self._engine, container, test) if test else None,
            running=bool(state.get("Running")),
            healthy=(state.get("Health") or {}).get("Status") == "healthy",
            published=published(inspected),
        )

    async def manner(self, container: str, *, oom: bool = False) -> str:
        """How it ended, ready to follow its name."""
        return (await self.ended(container, oom=oom)).manner

    async def ended(self, container: str, *, oom: bool = False, code: int | None = None) -> Ended:
        """`code`: as its event has told it; one that the engine has started again since has no other."""
        try:
            inspected = await self._engine.get(f"containers/{container}/json")
        except EngineRefused:
            return Ended("is gone: its container was removed")
        except EngineAway as error:
            return Ended(f"is out of reach: {error}")
        state = inspected["State"]
        return Ended(how(state, oom=oom, code=code), for_good=not (state.get("Running") or state.get("Restarting")))

    async def last_words(self, container: str) -> str:
        """The end of what it logged, ready to follow a reason; empty where it said nothing."""
        try:
            said = await self._engine.get(f"containers/{container}/logs", stdout=True, stderr=True, tail=LAST_LINES)
        except (EngineRefused, EngineAway):
            return ""
        lines = last_lines(said if isinstance(said, bytes) else b"")
        return "; its last lines: " + " | ".join(lines) if lines else "; it logged nothing"


def endpoints(
    service: Service,
    inspected: Mapping[str, Any],
    reach: Collection[str] | None,
    numbers: Mapping[int, int] = _AS_THEY_ARE,
) -> dict[str, str]:
    """Port name → address; `reach`: names of the networks that the hub can reach, None where it reaches all.
    `numbers`: ports that are reached by another number."""
    networks = inspected["NetworkSettings"]["Networks"] or {}
    if "host" in networks:
        address = "127.0.0.1"
    else:
        known = sorted(name for name in networks if reach is None or name in reach)
        found = [networks[name].get("IPAddress") or networks[name].get("GlobalIPv6Address") for name in known]
        address = next((one for one in found if one), "")
    if not address:
        return {}
    host = f"[{address}]" if ":" in address else address
    return {port.name: f"{host}:{numbers.get(port.number, port.number)}" for port in service.ports}


def published(inspected: Mapping[str, Any]) -> frozenset[int]:
    """TCP ports inside the container that have an address of the host."""
    bound = inspected.get("HostConfig", {}).get("PortBindings") or {}
    split = (name.partition("/") for name, hosts in bound.items() if hosts)
    return frozenset(int(number) for number, _, kind in split if kind == "tcp")


def how(state: Mapping[str, Any], *, oom: bool = False, code: int | None = None) -> str:
    """How a container ended, by its state and the exit code that is known of it otherwise."""
    code = int(state.get("ExitCode") or 0) if code is None else code
    if (oom or state.get("OOMKilled")) and code:
        return "was ended by SIGKILL: it went over its memory limit"
    if state.get("Error"):
        return f"could not be run: {state['Error']}"
    try:
        return f"was ended by {signal.Signals(code - 128).name}" if code > 128 else f"exited with code {code}"
    except ValueError:
        return f"exited with code {code}"
