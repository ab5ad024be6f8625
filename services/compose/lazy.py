"""Which services of a compose project can be lazy, and why the others cannot.

Owns that choice, pure: services in, names and reasons out. What a file says itself (`profiles: [on-demand]`,
`deploy.replicas: 0`, `x-hub`) stands whatever is wished. Reasons are written for the owner of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from services.catalog import known
from services.catalog.faults import nearest
from services.catalog.model import Protocol, Service
from services.compose.needs import Needs, needs_tcp

_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock")
_ENGINE_FOLDERS = ("/var/lib/docker", "/run/docker")
_PORTLESS = "it has no port whose requests could wake it; say one under expose, or as label aihub.port"
_SHOWN = 5


class WishError(ValueError):
    """A wish that cannot be had. The message names the service and says what is in the way."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked to be lazy, over what the files say themselves."""

    names: frozenset[str] | None = None
    """None: whatever can be."""

    @classmethod
    def parse(cls, text: str | None) -> Wish | None:
        """`all`, or names between commas; None for None. Raises WishError."""
        if text is None:
            return None
        words = [word.strip() for word in text.split(",")]
        if words == ["all"]:
            return cls()
        if not all(words):
            raise WishError(f"{text!r} is neither all nor names with commas between them")
        return cls(frozenset(words))


@dataclass(frozen=True, slots=True)
class Choice:
    taken: tuple[str, ...] = ()
    """Lazy, in the order of the files."""
    left: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The others, and why; empty reasons where nobody wished for all."""

    def lines(self) -> Iterator[str]:
        """For people: what was taken, then each that was left with its reason."""
        yield f"lazy: {', '.join(self.taken) or 'nothing'}"
        for name, reason in self.left.items():
            if reason:
                yield f"left as it is: {name} ({reason})"


def choose(services: Mapping[str, Service], wish: Wish | None) -> Choice:
    """Who is lazy among the services of all stacks. Raises WishError where a name is unknown or cannot be lazy."""
    return _Chooser(services).choice(wish)


class _Chooser:
    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._needs = Needs(services)

    def choice(self, wish: Wish | None) -> Choice:
        own = {name for name, service in self._services.items() if service.lazy}
        if wish is None:
            return self._told(own, {})
        if wish.names is None:
            return self._every(own)
        wished = {found for name in sorted(wish.names) for found in self._called(name)}
        for name in sorted(wished - own):
            if reason := self._impossible(self._services[name]):
                raise WishError(f"{name} cannot be lazy: {reason}")
        return self._told(own | wished, {})

    def _called(self, name: str) -> Iterator[str]:
        """The service of that name, or those that a file calls so."""
        if name in self._services:
            return iter((name,))
        found = [one.name for one in self._services.values() if one.containers and one.containers.name == name]
        if not found:
            raise WishError(_unknown(name, self._services))
        return iter(found)

    def _every(self, own: set[str]) -> Choice:
        left = {name: self._reason(service) for name, service in self._services.items() if name not in own}
        taken = own | {name for name, reason in left.items() if not reason}
        # Databases go with those who need them: one that is left may leave its own databases behind in turn.
        while lost := {name: why for name in taken - own if (why := self._outsider(self._services[name], taken))}:
            left |= lost
            taken -= set(lost)
        return self._told(taken, left)

    def _told(self, taken: set[str], left: Mapping[str, str]) -> Choice:
        kept = {name: left.get(name, "") for name in self._services if name not in taken}
        return Choice(tuple(name for name in self._services if name in taken), MappingProxyType(kept))

    def _impossible(self, service: Service) -> str:
        """What no wish gets past."""
        inside = service.containers
        if inside is not None and inside.network_mode not in (None, "bridge", "default"):
            if inside.network_mode == "host":
                return "network_mode: host, so its ports are the machine's own and no gateway can have them"
            return f"network_mode: {inside.network_mode}, so it has no address of its own"
        if holder := self._needs.holder(service.name):
            return f"{holder} needs its very container (a link under another name, volumes_from or a shared namespace)"
        return "" if service.ports or self._needs.needing(service.name) else _PORTLESS

    def _reason(self, service: Service) -> str:
        """Why `all` leaves a service; empty where it does not."""
        if reason := known.acts_by_itself(service.image):
            return reason
        if any(_is_engine(volume.source) for volume in service.volumes):
            return "it works on the container engine itself"
        if waiter := self._needs.waiter(service.name):
            return f"it does a task and ends, which {waiter} waits for"
        if reason := self._impossible(service):
            return reason
        if not service.ports:
            return _PORTLESS
        if service.containers is not None and service.containers.datagrams:
            return "it publishes a port that is not TCP, which no gateway carries"
        tcp = {port.name for port in service.ports if port.protocol is Protocol.TCP}
        if not needs_tcp(service) and (port := next((p for p in service.publishes if p.port in tcp), None)):
            return f"its published port {port.number} speaks no plain HTTP, so nothing would wake it there"
        return ""

    def _outsider(self, service: Service, taken: set[str]) -> str:
        """Why a service without HTTP stays: somebody who is not lazy needs it, or nobody at all does."""
        if not needs_tcp(service):
            return ""
        needing = self._needs.needing(service.name)
        if not needing:
            return "it speaks no HTTP, and nothing that could be woken needs it"
        outside = [name for name in needing if name not in taken]
        if not outside:
            return ""
        more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
        verbs = "needs it and is" if len(outside) == 1 else "need it and are"
        return f"{', '.join(outside[:_SHOWN])}{more} {verbs} not lazy"


def _unknown(name: str, services: Mapping[str, Service]) -> str:
    hint = nearest(name, services)
    shown = ", ".join(list(services)[:_SHOWN]) + (", …" if len(services) > _SHOWN else "")
    return f"no service is called {name!r} ({hint or f'there are {shown}'})"


def _is_engine(source: str) -> bool:
    return source.endswith(_SOCKETS) or source.startswith(_ENGINE_FOLDERS)
