"""The inner gateways: Envoy containers on the projects' networks that answer to the names of services on demand.

Owns the containers: their image, made of the hub's own Envoy, their networks and names, that they run. What they are
configured with is the mesh's. Names are never added to one that runs, for that would cut its connections: a gateway
beside it takes them. The hub keeps them alive, not the engine: without the hub they would only hold requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.catalog.inside import InsideNetwork
from services.layout import Layout
from services.scaler.drivers.docker import intents
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.images import Images
from services.scaler.drivers.docker.keeper import DATA, mark

log = logging.getLogger(__name__)

GATEWAY = "aihub.gateway"
"""Label: the gateway's name, `inner-N`."""
_NAMESPACES = "aihub.namespaces"
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
_BACK_OFF = (0.0, 0.2, 1.0, 5.0)
_STOP_GRACE = 2

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
        self._reviving: dict[str, asyncio.Task[None]] = {}
        self._deaths: dict[str, int] = {}
        self._wanted: tuple[Sequence[InsideNetwork], Collection[str]] | None = None
        """What was asked for last."""
        self._removed: set[str] = set()
        """Containers that were removed by ourselves."""
        self._closed = False

    async def ensure(self, networks: Sequence[InsideNetwork], also: Collection[str] = ("aihub",)) -> Sequence[str]:
        """Every name of every network belongs to a gateway that runs; names of all gateways, oldest first. Those left
        by an earlier life are taken over. `also`: further names for the first gateway on each network. Idempotent.
        Raises EngineAway, EngineRefused, OSError."""
        self._wanted = networks, also
        async with self._changing:
            present = await self._present()
            for gateway in [one for one in present if one.namespaces != self._namespaces]:
                log.info("inner gateway %s is made anew: where names are answered has changed", gateway.name)
                await self._remove(gateway.container)
                present.remove(gateway)
            for gateway in tuple(present):
                if gateway.running or await self._starts(gateway):
                    await self._reach(gateway, networks)
                else:
                    present.remove(gateway)
            missing = wanted(networks, also) - frozenset[tuple[str, str]]().union(*(one.names for one in present))
            names = [gateway.name for gateway in present]
            if missing or not present:
                names.append(await self._make(next_name(names), networks, missing))
            return names

    async def close(self) -> None:
        """Remove them: the hub goes down. Raises EngineAway, EngineRefused."""
        self._closed = True
        for task in list(self._reviving.values()):
            task.cancel()
        await asyncio.gather(*self._reviving.values(), return_exceptions=True)
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
        for task in self._reviving.values():
            task.cancel()

    def changed(self, event: Mapping[str, Any]) -> None:
        """One event of a container of the engine: a gateway that dies is started again, one that somebody removed is
        made anew."""
        labels = event["Actor"].get("Attributes") or {}
        name = labels.get(GATEWAY)
        if name is None or labels.get(DATA) != self._mark or self._closed:
            return
        container = event["Actor"]["ID"]
        if event["Action"] == "die" and name not in self._reviving:
            task = asyncio.get_running_loop().create_task(self._revive(name, container))
            self._reviving[name] = task
            task.add_done_callback(lambda _: self._reviving.pop(name, None))
        elif event["Action"] == "destroy" and container not in self._removed:
            log.warning("inner gateway %s was removed; it is made anew", name)
            self._look_soon(container)

    def look(self) -> None:
        """The engine was away: start what ended with it, make what went."""
        if not self._closed:
            self._look_soon("")

    def _look_soon(self, why: str) -> None:
        if why not in self._reviving:
            task = self._reviving[why] = asyncio.get_running_loop().create_task(self._look())
            task.add_done_callback(lambda _: self._reviving.pop(why, None))

    async def _look(self) -> None:
        try:
            if self._wanted is not None:
                await self.ensure(*self._wanted)
        except (EngineRefused, EngineAway, OSError) as error:
            log.error("inner gateways cannot be looked after: %s", error)

    async def _revive(self, name: str, container: str) -> None:
        deaths = self._deaths[name] = self._deaths.get(name, 0) + 1
        log.warning("inner gateway %s has ended; it is started again", name)
        await asyncio.sleep(_BACK_OFF[min(deaths, len(_BACK_OFF)) - 1])
        try:
            async with self._changing:
                await self._start(name, container)
        except EngineRefused as error:
            if intents.is_stuck(error):
                self._look_soon("")
            elif error.status != 404:  # that it was removed is told too
                log.error("inner gateway %s does not start: %s", name, error)
        except EngineAway as error:
            log.error("inner gateway %s does not start: %s", name, error)

    async def _reach(self, gateway: Gateway, networks: Sequence[InsideNetwork]) -> None:
        """Connect it to networks that came later, without a name there: a replica has one address for all gateways, and
        each must get to it. What it carries meanwhile is not touched."""
        for network in networks:
            if network.name not in gateway.networks:
                await self._connect(gateway.container, network.name, ())

    async def _connect(self, container: str, network: str, aliases: Sequence[str]) -> None:
        await intents.connect(self._engine, container, network, {"Aliases": list(aliases)})

    async def _starts(self, gateway: Gateway) -> bool:
        """Start it; false where it never will any more, and is removed."""
        try:
            await self._start(gateway.name, gateway.container)
        except EngineRefused as error:
            if not intents.is_stuck(error):
                raise
            log.warning("inner gateway %s cannot be started (%s): it is made anew", gateway.name, error)
            await self._remove(gateway.container)
            return False
        return True

    async def _start(self, name: str, container: str) -> None:
        config = self._bootstrap(name)
        for left in config.parent.glob("*.sock"):
            left.unlink(missing_ok=True)
        await self._engine.post(f"containers/{container}/start")

    async def _make(self, name: str, networks: Sequence[InsideNetwork], names: Named) -> str:
        image = await self._image()
        await self._make_hub_network()
        config = self._bootstrap(name)
        description = self._description(image, name, config)
        made = await intents.create(self._engine, description, f"aihub-{self._mark}-gateway-{name}")
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

    async def _image(self) -> str:
        digest = await asyncio.to_thread(_sha256, self._binary)
        reference = f"aihub-envoy:{digest[:12]}"
        await self._images.look()
        if self._images.id_of(reference) is None:
            with tempfile.NamedTemporaryFile(suffix=".tar", dir=self._layout.data) as archive:
                path = Path(archive.name)
                await asyncio.to_thread(pack, {_INSIDE: self._binary}, path)
                await self._images.make(reference, path, [f'ENTRYPOINT ["{_INSIDE}"]', f"LABEL {GATEWAY}=image"])
        return reference

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
        return sorted(found, key=lambda one: number(one.name))

    async def _remove(self, container: str) -> None:
        self._removed.add(container)
        try:
            await self._engine.delete(f"containers/{container}", force=True)
        except EngineRefused as error:
            if error.status != 409:
                raise


_INSIDE = "/envoy"


def wanted(networks: Sequence[InsideNetwork], also: Collection[str]) -> Named:
    return frozenset((network.name, name) for network in networks for name in {*network.names, *also})


def gateway_of(inspected: Mapping[str, Any]) -> Gateway:
    connections = inspected["NetworkSettings"]["Networks"]
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


def pack(programs: Mapping[str, Path], target: Path) -> None:
    """A root of programs (path there → file here) and the libraries they are linked with, where their loader looks for
    them. Blocks for a second."""
    words = ["ldd", *map(str, programs.values())]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    with tarfile.open(target, "w") as archive:
        for path, program in programs.items():
            archive.add(program, path, filter=_anybody)
        for library in sorted({match[1] for line in said.splitlines() if (match := _LIBRARY.search(line))}):
            archive.add(os.path.realpath(library), library.lstrip("/"), filter=_anybody)


def _anybody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755
    return entry


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
