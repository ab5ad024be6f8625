"""The catalogue as values: what a service is, where it listens, how it rests, what it needs.

Owns the vocabulary of every layer above. It reads no file and knows no YAML: `services.catalog.load` makes these
values, already valid and in plain units (seconds, bytes, cores), so nothing above parses or checks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

RESERVED_NAMES = frozenset({"health", "tasks", "vectors", "usage", "hub", "v1"})
"""Names that `/api/NAME` keeps for the hub itself; no service may have one."""


class Tier(StrEnum):
    INFRA = "infra"
    PERSISTENT = "persistent"
    ON_DEMAND = "on-demand"


class Protocol(StrEnum):
    HTTP = "http"
    H2C = "h2c"
    """HTTP/2 without TLS: gRPC."""
    TCP = "tcp"
    """Never woken by traffic; started before what depends on it and awake as long as that is."""


class Rest(StrEnum):
    PAUSED = "paused"
    STOPPED = "stopped"


class Condition(StrEnum):
    """What `depends_on` waits for, in compose's words."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


@dataclass(frozen=True, slots=True)
class Port:
    name: str
    """`main` for the service's own; any other name makes a cluster of its own, `SERVICE:NAME`."""
    number: int
    """Port inside the container; locally only a name, the replica gets a free one."""
    protocol: Protocol = Protocol.HTTP


@dataclass(frozen=True, slots=True)
class Publish:
    """An address of the host that belongs to the gateway and answers asleep or awake."""

    port: str
    host: str
    """Empty: every address of the machine, IPv4 and IPv6; `0.0.0.0` and `::` are those of one family."""
    number: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.number}" if host else str(self.number)


@dataclass(frozen=True, slots=True)
class Scaling:
    min_replicas: int = 0
    max_replicas: int = 1
    scale_up_threshold: int = 0
    """Requests in flight per ready replica above which one more is started; 0: never."""
    idle_timeout: float = 300.0
    """Seconds without use until a replica is paused (with `rest: stopped`: stopped)."""
    stop_after: float = 900.0
    """Further seconds after which a paused replica is stopped."""
    rest: Rest = Rest.PAUSED


@dataclass(frozen=True, slots=True)
class Wake:
    hold: float = 300.0
    """Longest time in seconds a request is held."""
    start_timeout: float = 600.0
    """A replica that is not ready this many seconds after its start has failed."""
    ignore_paths: tuple[str, ...] = ("/favicon.ico",)
    ignore_agents: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    """GET paths answered from the last good reply while asleep."""
    allow_origins: tuple[str, ...] = ()
    """Origins of other sites whose pages may wake the service, `https://host[:port]` each."""


@dataclass(frozen=True, slots=True)
class Busy:
    """What counts as use besides requests."""

    cpu: float = 0.10
    """Share of one core over the last minute above which a replica is in use; 0: CPU does not count."""
    http: str | None = None
    """Path of the replica that answers 200 while it is busy."""
    websocket_idle: float | None = None
    """Seconds after which a silent websocket stops counting; None: never."""


@dataclass(frozen=True, slots=True)
class Dependency:
    service: str
    condition: Condition = Condition.STARTED
    required: bool = True


@dataclass(frozen=True, slots=True)
class Package:
    """Something a registry has: `pypi:chromadb==1.5.9`, `npm:flowise@3.0.1`."""

    registry: str
    """`pypi` or `npm`."""
    requirement: str
    """In the registry's own form, always pinned: `chromadb==1.5.9`, `flowise@3.0.1`."""
    lock: str | None = None
    """Absolute path of the hash lock (pip requirements with hashes, or a package-lock.json)."""


@dataclass(frozen=True, slots=True)
class Typical:
    """What the service was seen to take elsewhere: for estimates until this host has measured it itself."""

    install: int | None = None
    """Bytes of its installed environment."""
    first_start: float | None = None
    """Seconds of the first start, in which many programs compile themselves and make their databases."""
    start: float | None = None
    """Seconds of a later one."""
    memory: int | None = None
    """Bytes resident when it has just started."""


@dataclass(frozen=True, slots=True)
class Local:
    """How a service runs as a process of this machine."""

    command: tuple[str, ...]
    """Argument list; words may hold {port}, {port:NAME}, {data}, {models}, {public_url}, {url:OTHER}."""
    package: Package | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Added over the service's own `environment`; the same placeholders."""
    expose: bool = False
    """Whether the program may listen beyond loopback; without it such a replica is refused."""
    requires: str | None = None
    """A program that must be on the user's PATH (`ollama`); without it the service is unavailable, and says so."""
    typical: Typical = Typical()


@dataclass(frozen=True, slots=True)
class Volume:
    source: str
    """Name of a volume, or an absolute path for a bind mount; empty for an anonymous volume."""
    target: str
    read_only: bool = False
    named: bool = True


@dataclass(frozen=True, slots=True)
class Resources:
    memory_limit: int | None = None
    memory_reservation: int | None = None
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Stack:
    """One compose project, as `docker compose -p PROJECT --project-directory DIRECTORY -f FILE …` would find it."""

    project: str
    files: tuple[str, ...]
    """Absolute, in the order of merging."""
    directory: str
    bindings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Key of a network that leads outside → the host's address at which it publishes ports that are given none, empty
    for every address. In the order in which the engine takes one of several."""


@dataclass(frozen=True, slots=True)
class Containers:
    """Of a service, what only a container driver asks for."""

    stack: str
    """Its compose project."""
    name: str
    """Its name in that project; the hub's own differs where two stacks have one of the same name."""
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Key of each compose network it is on → its aliases there besides its name."""
    priorities: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Key of a network → how much rather than others it is to be the one that leads outside; 0 where nothing is said."""
    container_name: str | None = None
    network_mode: str | None = None
    """`host`, `none`, `service:NAME` …; None: the networks above."""
    bound_to: tuple[str, ...] = ()
    """Services whose very container it has to find: by a link under another name, by `volumes_from` or by a namespace
    that it shares."""
    published: tuple[Publish, ...] = ()
    """Addresses of the host that belong to the engine, as the service is not lazy."""
    datagrams: bool = False
    """Publishes a port that is not TCP."""


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    tier: Tier = Tier.ON_DEMAND
    lazy: bool = True
    """Runs only while somebody uses it. A service that is not lazy is kept at `min_replicas`."""
    image: str | None = None
    ports: tuple[Port, ...] = ()
    """The main one first; empty for a service without a listening port."""
    publishes: tuple[Publish, ...] = ()
    health: str = "tcp"
    """A path that answers 2xx when ready, or `tcp`."""
    path: str = ""
    """Prefix at the gateway, `/api/NAME` unless said otherwise."""
    web: bool = False
    """Has pages for people: browser navigations to `path` go on to the service's own origin."""
    scaling: Scaling = Scaling()
    wake: Wake = Wake()
    busy: Busy = Busy()
    depends_on: tuple[Dependency, ...] = ()
    uses: tuple[str, ...] = ()
    """Services that stay awake while this one is, woken together with it."""
    models: tuple[str, ...] = ()
    stateless: bool = False
    local: Local | None = None
    containers: Containers | None = None
    """None where no container driver reads the catalogue."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    volumes: tuple[Volume, ...] = ()
    resources: Resources = Resources()
    stop_grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    stop_signal: str = "SIGTERM"
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    description: str = ""
    source: Source = Source("", 0)
    digest: str = ""
    """Changes whenever a running replica of the old text would be out of date (command, environment, package ...)."""

    ends: bool = False
    """As a container, nothing starts it again once it has ended with 0: it may be a task."""

    @property
    def may_finish(self) -> bool:
        """Ended with 0 it has done its work, and is not missed."""
        return self.ends and not self.lazy

    @property
    def main(self) -> Port | None:
        return self.ports[0] if self.ports else None

    @property
    def http_ports(self) -> tuple[Port, ...]:
        """Those whose traffic wakes the service."""
        return tuple(port for port in self.ports if port.protocol is not Protocol.TCP)

    def port(self, name: str) -> Port:
        """Raises KeyError where the service has no port of that name."""
        for port in self.ports:
            if port.name == name:
                return port
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Catalog:
    services: Mapping[str, Service] = field(default_factory=lambda: MappingProxyType({}))
    """By name, in the order of the files."""
    files: tuple[str, ...] = ()
    """Every file that was read, absolute; what a watcher has to look at."""
    stacks: Mapping[str, Stack] = field(default_factory=lambda: MappingProxyType({}))
    """By project; empty where no container driver reads the catalogue."""
    notes: tuple[str, ...] = ()
    """Fields that are legal but mean nothing without Docker, one line each, for `check` to show."""

    def dependents(self, name: str) -> tuple[str, ...]:
        """Services that need `name` awake: by `depends_on` or by `uses`."""
        return tuple(
            other.name
            for other in self.services.values()
            if name in other.uses or any(d.service == name for d in other.depends_on)
        )
