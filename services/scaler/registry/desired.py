"""What Consul should say of this hub, and what has to be done where it says something else. Pure.

An instance is one replica that serves, under the gateway's address: nobody may reach it past the gateway, which knows
when it is about to rest. What sleeps has no instance; its state stands among the keys.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from services.catalog.addresses import DOMAIN, Edge
from services.catalog.model import Service
from services.scaler.core.events import ReplicaId
from services.scaler.registry.standing import Standing

HUB, REPLICA, TIER, PATH, HOST, DOOR = (f"aihub-{word}" for word in ("hub", "replica", "tier", "path", "host", "door"))
"""Keys of an instance's meta data. HUB is the mark of ownership: what has another one is never touched."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_ANYWHERE = ("", "0.0.0.0", "::")
_SERVES = ("ready", "draining")
"""States whose reason is what the requests of the moment are: written once, not with each request."""


@dataclass(frozen=True, slots=True)
class Here:
    """This hub as other machines see it. Raises ValueError for a name that cannot stand in keys and ids."""

    hub: str
    """Unlike that of every other hub of this Consul."""
    edge: Edge = field(default_factory=Edge)
    domain: str = DOMAIN
    """Services are NAME.DOMAIN at the edge."""
    advertise: str | None = None
    """Address of this machine for others; None: the hub is for this machine alone."""

    def __post_init__(self) -> None:
        if not _HUB_NAME.match(self.hub):
            raise ValueError(f"hub name {self.hub!r}: letters, digits, dots and dashes only, 63 at the most")

    @property
    def prefix(self) -> str:
        """Of all keys of this hub."""
        return f"aihub/{self.hub}/services/"


@dataclass(frozen=True, slots=True)
class ConsulAt:
    url: str
    """`http://HOST:PORT` or https."""
    token: str = field(default="", repr=False)

    def parts(self) -> tuple[str, str, int]:
        """Scheme, host, port. Raises ValueError."""
        try:
            found = urlsplit(self.url if "//" in self.url else f"http://{self.url}")
            port, host = found.port, found.hostname or ""
        except ValueError:
            port, host = None, ""
        if not host or found.scheme not in ("http", "https") or found.path.strip("/"):
            raise ValueError(f"{self.url!r} is not the address of a Consul; one looks like http://127.0.0.1:8500")
        return found.scheme, f"[{host}]" if ":" in host else host, port or (443 if found.scheme == "https" else 8500)


def hub_name(host: str, data: str) -> str:
    """A name for the hub that keeps this data folder on this machine: the same in each of its lives, and no other's."""
    mark = hashlib.sha256(f"{host}:{data}".encode()).hexdigest()[:6]
    return f"{re.sub('[^A-Za-z0-9-]', '-', host.partition('.')[0]).strip('-')[:48] or 'hub'}-{mark}"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    own: bool
    """The service has this port for itself; at the edge it is one of many, told apart by path or host."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One instance."""

    id: str
    name: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: Mapping[str, str]

    @property
    def check(self) -> str:
        return f"service:{self.id}"


@dataclass(frozen=True, slots=True)
class Entry:
    """How a service stands, for those who ask while it sleeps."""

    state: str
    since: float
    """Seconds since the epoch; when a hub first saw it so."""
    reason: str

    def text(self) -> str:
        return json.dumps({"state": self.state, "since": self.since, "reason": self.reason}, ensure_ascii=False)

    @classmethod
    def read(cls, text: str | bytes | None) -> Entry | None:
        """None for what no hub has written."""
        try:
            found = json.loads(text or "")
            return cls(str(found["state"]), float(found["since"]), str(found["reason"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Said:
    """All that Consul says, or should say, of one hub."""

    registrations: Mapping[str, Registration] = field(default_factory=dict)
    """By id."""
    entries: Mapping[str, Entry | None] = field(default_factory=dict)
    """By service; None: something stands there that no hub has written."""


@dataclass(frozen=True, slots=True)
class Change:
    register: tuple[Registration, ...] = ()
    deregister: tuple[str, ...] = ()
    """Ids."""
    write: Mapping[str, Entry] = field(default_factory=dict)
    """By service."""
    erase: tuple[str, ...] = ()
    """Services."""

    def __bool__(self) -> bool:
        return bool(self.register or self.deregister or self.write or self.erase)


def desired(standings: Iterable[Standing], here: Here, found: Said, now: float) -> Said:
    """`found`: what Consul says already; a state that has not changed keeps its beginning. `now`: epoch seconds."""
    registrations: dict[str, Registration] = {}
    entries: dict[str, Entry | None] = {}
    for standing in standings:
        name = standing.service.name
        entries[name] = _entry(standing, found.entries.get(name), now)
        address = gateway_address(standing.service, here)
        for replica in standing.serving if address else ():
            assert address is not None
            one = _registration(standing.service, replica, address, here)
            registrations[one.id] = one
    return Said(registrations, entries)


def difference(wanted: Said, found: Said) -> Change:
    return Change(
        register=tuple(one for key, one in wanted.registrations.items() if found.registrations.get(key) != one),
        deregister=tuple(key for key in found.registrations if key not in wanted.registrations),
        write={key: one for key, one in wanted.entries.items() if one is not None and found.entries.get(key) != one},
        erase=tuple(key for key in found.entries if key not in wanted.entries),
    )


def gateway_address(service: Service, here: Here) -> Address | None:
    """Where the gateway answers for the service: its own port where it has one, else the edge. Of several the first
    that other machines can reach, if this hub is for them. None where it has neither."""
    main = service.main
    published = (*service.publishes, *(service.containers.published if service.containers else ()))
    doors = [Address(_seen(p.host, here), p.number, True) for p in published if main and p.port == main.name]
    if service.http_ports:
        doors.append(Address(_seen(here.edge.host, here), here.edge.port, False))
    open_to_all = [door for door in doors if here.advertise and not _loopback(door.host)]
    return next(iter(open_to_all or doors), None)


def from_agent(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Registration]:
    """What an agent says of its services, as values; raises KeyError or TypeError where no agent has said it."""
    return {
        entry["ID"]: Registration(
            entry["ID"],
            entry["Service"],
            entry["Address"],
            int(entry["Port"]),
            tuple(entry["Tags"] or ()),
            dict(entry["Meta"] or {}),
        )
        for entry in found.values()
    }


def from_keys(found: Sequence[Mapping[str, Any]] | None, here: Here) -> dict[str, Entry | None]:
    """What stands below the hub's prefix. Raises KeyError or TypeError as above."""
    return {entry["Key"].removeprefix(here.prefix): Entry.read(entry["Value"]) for entry in found or ()}


def _registration(service: Service, replica: ReplicaId, address: Address, here: Here) -> Registration:
    meta = {
        HUB: here.hub,
        REPLICA: replica,
        TIER: service.tier.value,
        PATH: service.path,
        HOST: f"{service.name}.{here.domain}",
        DOOR: "own" if address.own else "edge",
    }
    tags = (service.tier.value,)
    return Registration(f"{here.hub}-{replica}", service.name, address.host, address.port, tags, meta)


def _entry(standing: Standing, before: Entry | None, now: float) -> Entry:
    if before is None or before.state != standing.state:
        return Entry(standing.state, round(now, 3), standing.reason)
    if before.reason == standing.reason or standing.state in _SERVES:
        return before
    return Entry(standing.state, before.since, standing.reason)


def _seen(host: str, here: Here) -> str:
    if host in _ANYWHERE:
        return here.advertise or "127.0.0.1"
    return "127.0.0.1" if host == "localhost" else host


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
