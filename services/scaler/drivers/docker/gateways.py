"""The inner gateways: Envoy containers on the projects' networks that answer to the names of services on demand.

Owns the containers: their image, made of the hub's own Envoy, their networks and names, that they run. What they are
configured with is the mesh's. Names are never added to a connection that is there, for that would cut it: a gateway
beside it takes them. The hub keeps them alive, not the engine: without the hub they would only hold requests. What
somebody else does to them is told by events: what can be mended here is, all else by whoever follows `astray`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.catalog.inside import InsideNetwork
from services.layout import Layout
from services.scaler.drivers.docker import gateway_image, intents
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.gateway_image import GATEWAY
from services.scaler.drivers.docker.images import Images
from services.scaler.drivers.docker.keeper import DATA, mark

log = logging.getLogger(__name__)

_NAMESPACES = "aihub.namespaces"
_BACK_OFF = (0.0, 0.2, 1.0, 5.0)
_FORGIVEN = 60.0
"""Seconds after which an end no longer counts for how long the next one has to wait."""
_STOP_GRACE = 2
_TO_REMOVE = 0.5
"""Seconds in which whoever has taken a gateway from a network can remove that."""

Named = frozenset[tuple[str, str]]
"""Network and name."""
Bootstrap = Callable[[str], Path]
"""Name of a gateway → its bootstrap file, written before this returns."""


@dataclass(frozen=True, slots=True)
class Gateway:
    name: str
    container: str
    names: Named
    networks: frozenset[str]
    running: bool
    namespaces: str = ""
    """The folder of namespaces that it can enter, if any."""


class InnerGateways:
    """`bootstrap` makes the configuration of one gateway. `binary`: the Envoy that the edge runs too."""

    def __init__(
        self,
        engine: Engine,
        images: Images,
        layout: Layout,
        binary: str,
        bootstrap: Bootstrap,
        *,
        namespaces: str = "",
    ) -> None:
        """`namespaces`: the engine's folder of them, where gateways are to listen in others than their own; they are
        root then, and may enter any."""
        self._engine = engine
        self._namespaces = namespaces
        self._images = images
        self._layout = layout
        self._binary = Path(binary)
        self._bootstrap = bootstrap
        self._mark = mark(layout)
        self._changing = asyncio.Lock()
        self._mending: dict[str, asyncio.Task[None]] = {}
        self._deaths: dict[str, list[float]] = {}
        """When each has ended, by the loop's clock."""
        self._wanted: frozenset[str] = frozenset()
        """Networks of what was asked for last."""
        self._own: dict[str, str] = {}
        """Container → name of the gateway."""
        self.astray: list[Callable[[], None]] = []
        """Told when what was asked for last is not so any more: somebody has removed a gateway or taken one from a
        network, or has made a network anew. Who has asked is to ask again, with the networks as they are then."""
        self._removed: set[str] = set()
        """Containers that were removed by ourselves."""
        self._closed = False

    async def ensure(self, networks: Sequence[InsideNetwork], also: Collection[str] = ("aihub",)) -> Sequence[str]:
        """Every name of every network belongs to a gateway that runs; names of all gateways, oldest first. Those left
        by an earlier life are taken over. `also`: further names for the first gateway on each network. Idempotent.
        Raises EngineAway, EngineRefused, OSError."""
        self._wanted = frozenset(network.name for network in networks)
        async with self._changing:
            present = await self._present()
            for gateway in [one for one in present if not await self._keeps(one)]:
                await self._remove(gateway.container)
                present.remove(gateway)
            missing = wanted(networks, also) - frozenset[tuple[str, str]]().union(*(one.names for one in present))
            for gateway in present:
                missing -= await self._reach(gateway, networks, missing)
            names = [gateway.name for gateway in present]
            if missing or not present:
                names.append(await self._make(next_name(names), networks, missing))
            return names

    async def _keeps(self, gateway: Gateway) -> bool:
        """Whether it runs, or does now; false where another has to take its place."""
        if gateway.namespaces != self._namespaces:
            log.info("inner gateway %s is made anew: where names are answered has changed", gateway.name)
            return False
        try:
            if not gateway.running:
                await self._start(gateway.name, gateway.container)
        except EngineRefused as error:
            # One of its networks may have been made anew under the same name.
            log.warning("inner gateway %s is made anew, for it cannot be started: %s", gateway.name, error)
            return False
        return True

    async def close(self) -> None:
        """Remove them: the hub goes down. Raises EngineAway, EngineRefused."""
        self._closed = True
        for task in list(self._mending.values()):
            task.cancel()
        await asyncio.gather(*self._mending.values(), return_exceptions=True)
        async with self._changing:
            for gateway in await self._present():
                await self._remove(gateway.container)
            try:
                await self._engine.delete(f"networks/{self._hub_network}")
            except EngineRefused as error:
                log.warning("network %s stays: %s", self._hub_network, error)

    def let_go(self) -> None:
        """Leave them as they are, for a scaler that comes after this one."""
        self._closed = True
        for task in self._mending.values():
            task.cancel()

    def changed(self, event: Mapping[str, Any]) -> None:
        """One event of a container of the engine: a gateway that dies is started again, of one that somebody removed
        `astray` is told."""
        labels = event["Actor"].get("Attributes") or {}
        name = labels.get(GATEWAY)
        if name is None or labels.get(DATA) != self._mark or self._closed:
            return
        container = event["Actor"]["ID"]
        if event["Action"] == "die":
            self._begin(name, lambda: self._revive(name, container))
        elif event["Action"] == "destroy" and container not in self._removed:
            log.warning("inner gateway %s was removed; it is made anew", name)
            self.look()

    def network_changed(self, event: Mapping[str, Any]) -> None:
        """One event of a network of the engine: `astray` is told where a gateway that runs was taken from one of its
        networks, or one of these was made anew."""
        attributes = event["Actor"].get("Attributes") or {}
        network, container = attributes.get("name", ""), attributes.get("container", "")
        if self._closed or network not in self._wanted:
            return
        if event["Action"] == "create":
            self.look()
        elif event["Action"] == "disconnect" and container in self._own and container not in self._removed:
            self._begin(f"{container} {network}", lambda: self._parted(container, network))

    def look(self) -> None:
        """Nobody knows what has become of them: the engine was away, or one of them went."""
        if not self._closed:
            for listener in self.astray:
                listener()

    def _begin(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Once at a time for each key."""
        if key not in self._mending:
            task = self._mending[key] = asyncio.get_running_loop().create_task(work())
            task.add_done_callback(lambda _: self._mending.pop(key, None))

    async def _parted(self, container: str, network: str) -> None:
        """One that ends is taken from its networks too; that is no news here."""
        await asyncio.sleep(_TO_REMOVE)
        try:
            gateway = gateway_of(await self._engine.get(f"containers/{container}/json"))
            if gateway.running and network not in gateway.networks:
                await self._engine.get(f"networks/{network}")
                log.warning("inner gateway %s was taken from network %s; it is connected again", gateway.name, network)
                self.look()
        except EngineRefused as error:
            log.info("inner gateway %s is not connected to network %s: %s", self._own[container], network, error)
        except EngineAway:
            pass  # looked at when the engine is back

    async def _revive(self, name: str, container: str) -> None:
        now = asyncio.get_running_loop().time()
        deaths = self._deaths[name] = [*(at for at in self._deaths.get(name, ()) if at > now - _FORGIVEN), now]
        log.warning("inner gateway %s has ended; it is started again", name)
        await asyncio.sleep(_BACK_OFF[min(len(deaths), len(_BACK_OFF)) - 1])
        try:
            async with self._changing:
                await self._start(name, container)
        except EngineRefused as error:
            if error.status != 404:  # that it was removed is told too, but not that a network of its was
                log.error("inner gateway %s does not start: %s", name, error)
            self.look()
        except EngineAway as error:
            log.error("inner gateway %s does not start: %s", name, error)

    async def _reach(self, gateway: Gateway, networks: Sequence[InsideNetwork], missing: Named) -> Named:
        """Connect it to networks that came later or that somebody took it from: a replica has one address for all
        gateways, and each must get to it. Names that nobody has there are its own from then on, and returned. What it
        carries meanwhile is not touched."""
        taken = frozenset(
            (network.name, name)
            for network in networks
            if network.name not in gateway.networks
            for name in {name for where, name in missing if where == network.name}
        )
        for network in networks:
            if network.name not in gateway.networks:
                aliases = sorted(name for where, name in taken if where == network.name)
                await self._connect(gateway.container, network.name, aliases)
        return taken

    async def _connect(self, container: str, network: str, aliases: Sequence[str]) -> None:
        await intents.connect(self._engine, container, network, {"Aliases": list(aliases)})

    async def _start(self, name: str, container: str) -> None:
        """Nothing where it runs: somebody may have started it, and its sockets are in use then."""
        if (await self._engine.get(f"containers/{container}/json"))["State"]["Running"]:
            return
        config = self._bootstrap(name)
        for left in config.parent.glob("*.sock"):
            left.unlink(missing_ok=True)
        await self._engine.post(f"containers/{container}/start")

    async def _make(self, name: str, networks: Sequence[InsideNetwork], names: Named) -> str:
        image = await gateway_image.have(self._images, self._binary, self._layout.data)
        await self._make_hub_network()
        config = self._bootstrap(name)
        description = self._description(image, name, config)
        made = await intents.create(self._engine, description, f"aihub-{self._mark}-gateway-{name}")
        self._own[made] = name
        try:
            for network in networks:
                aliases = sorted(alias for where, alias in names if where == network.name)
                await self._connect(made, network.name, aliases)
            await self._engine.post(f"containers/{made}/start")
        except BaseException:
            await self._remove(made)
            raise
        return name

    def _description(self, image: str, name: str, config: Path) -> dict[str, Any]:
        run = str(self._layout.run)
        return {
            "Image": image,
            "Cmd": ["-c", str(config), "--disable-hot-restart", "--drain-strategy", "immediate", "--log-level", "warn"],
            "User": f"{os.getuid()}:{os.getgid()}",
            "Labels": {DATA: self._mark, GATEWAY: name, _NAMESPACES: self._namespaces},
            "StopTimeout": _STOP_GRACE,
            "HostConfig": {
                "NetworkMode": self._hub_network,
                "Init": True,
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                # Services listen on 80 as well, and Envoy is no root here.
                "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
                "Mounts": [{"Type": "bind", "Source": run, "Target": run}, *self._entering()],
                "CapAdd": ["SYS_ADMIN"] if self._namespaces else [],
            },
        }

    def _entering(self) -> list[dict[str, object]]:
        """The engine's namespaces, with those that come later."""
        return [namespaces_mount(self._namespaces)] if self._namespaces else []

    async def _make_hub_network(self) -> None:
        try:
            await self._engine.post(
                "networks/create", {"Name": self._hub_network, "CheckDuplicate": True, "Labels": {DATA: self._mark}}
            )
        except EngineRefused as error:
            if error.status != 409:
                raise

    @property
    def _hub_network(self) -> str:
        return f"aihub-{self._mark}"

    async def _present(self) -> list[Gateway]:
        label = [f"{DATA}={self._mark}", GATEWAY]
        rows = await self._engine.get("containers/json", all=True, filters={"label": label})
        found = [gateway_of(await self._engine.get(f"containers/{row['Id']}/json")) for row in rows]
        self._own = {one.container: one.name for one in found}
        return sorted(found, key=lambda one: number(one.name))

    async def _remove(self, container: str) -> None:
        self._removed.add(container)
        try:
            await self._engine.delete(f"containers/{container}", force=True)
        except EngineRefused as error:
            if error.status != 409:
                raise


def wanted(networks: Sequence[InsideNetwork], also: Collection[str]) -> Named:
    return frozenset((network.name, name) for network in networks for name in {*network.names, *also})


def gateway_of(inspected: Mapping[str, Any]) -> Gateway:
    connections = inspected["NetworkSettings"]["Networks"]
    if inspected["State"]["Running"]:
        # One that could not be made leaves a mark, as if it were there.
        connections = {network: said for network, said in connections.items() if said.get("EndpointID")}
    names = frozenset((network, name) for network, said in connections.items() for name in said.get("Aliases") or ())
    running, labels = bool(inspected["State"]["Running"]), inspected["Config"]["Labels"]
    return Gateway(
        *(labels[GATEWAY], inspected["Id"], names, frozenset(connections), running), labels.get(_NAMESPACES, "")
    )


def namespaces_mount(folder: str) -> dict[str, object]:
    return {"Type": "bind", "Source": folder, "Target": folder, "BindOptions": {"Propagation": "rslave"}}


def next_name(present: Collection[str]) -> str:
    return f"inner-{max((number(name) for name in present), default=0) + 1}"


def number(name: str) -> int:
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0
