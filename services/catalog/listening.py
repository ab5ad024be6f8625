"""Where a service listens, and at which addresses of the host: `x-hub.port(s)` and `listen`, `ports` and `expose`.

Owns which port is the main one and which addresses belong to the gateway. A published port without an address is
taken on loopback: nothing listens beyond it unless somebody wrote so. Where containers run, it is taken as compose
takes it: on every address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from services.catalog.faults import Findings
from services.catalog.model import Port, Protocol, Publish
from services.catalog.ports import HIGHEST, Mapped, address, parse_expose, parse_ports
from services.catalog.schema import PortEntry, XHub
from services.catalog.tree import Path, Row, Table, where

MAIN = "main"
LOOPBACK = "127.0.0.1"
EVERYWHERE = ""
_SHOWN = 8
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?\Z")
_LISTEN = re.compile(r"(?:(?P<host>[0-9.]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>[0-9]{1,5})\Z")

Guess = Callable[[Sequence[int]], tuple[Port, ...]]


class Listening:
    """Reads what one service says about its ports."""

    def __init__(
        self, name: str, raw: Table, hub: XHub, path: Path, findings: Findings, guess: Guess | None = None
    ) -> None:
        """`guess`: asked for the ports of a service that says nothing of them itself."""
        self._guess = guess
        self._name = name
        self._raw = raw
        self._hub = hub
        self._path = path
        self._findings = findings
        ports, expose = raw.get("ports"), raw.get("expose")
        self._mapped = parse_ports(ports, (*path, "ports"), findings) if isinstance(ports, Row) else ()
        exposed = parse_expose(expose, (*path, "expose"), findings) if isinstance(expose, Row) else ()
        tcp = [mapped.target for mapped in self._mapped if mapped.protocol == "tcp"]
        self.targets = tuple(dict.fromkeys([*tcp, *exposed]))
        """Every TCP port that compose knows of."""

    def ports(self) -> tuple[Port, ...]:
        """The main one first."""
        hub = self._hub
        if self._guess is None:
            return self._said()
        guessed = self._guess(self.targets)
        if hub.port is None and hub.ports is None:
            return guessed
        said = self._said()
        # A container publishes what nobody described as well.
        taken = {port.number for port in said}
        others = [port for port in guessed if port.number not in taken and port.number in self.targets]
        return (*said, *(Port(f"p{port.number}", port.number, port.protocol) for port in others))

    def _said(self) -> tuple[Port, ...]:
        hub = self._hub
        if hub.ports is not None:
            return self._several(hub.ports, hub.port)
        if hub.port is not None:
            return (Port(MAIN, hub.port),)
        if len(self.targets) > 1:
            known = ", ".join(map(str, self.targets[:_SHOWN])) + (", …" if len(self.targets) > _SHOWN else "")
            wanted = f"x-hub.port, or x-hub.ports with main: several ports are exposed ({known})"
            self._tell(("ports",) if "ports" in self._raw else ("expose",), wanted)
        return tuple(Port(MAIN, number) for number in self.targets[:1])

    def _several(self, entries: dict[str, PortEntry], main: int | None) -> tuple[Port, ...]:
        own = entries.get(MAIN)
        if own and main is not None and own.port != main:
            self._tell(("x-hub", "port"), f"{own.port} as in ports.main, or no port beside ports", main)
        if own is None and main is None:
            self._tell(("x-hub", "ports"), "a port named main", ", ".join(entries) or None)
        found = {} if own or main is None else {MAIN: Port(MAIN, main)}
        for name, entry in sorted(entries.items(), key=lambda item: item[0] != MAIN):
            if not _NAME.match(name):
                self._tell(("x-hub", "ports", name), "a name of up to 30 small letters, digits and dashes", name)
            twin = next((port.name for port in found.values() if port.number == entry.port), None)
            if twin is not None:
                self._tell(("x-hub", "ports", name), f"a port of its own; {twin} has this one", entry.port)
            found[name] = Port(name, entry.port, entry.protocol)
        return tuple(found.values())

    def publishes(self, ports: tuple[Port, ...]) -> tuple[Publish, ...]:
        """Addresses of the host, that of the main port first."""
        names = {port.number: port.name for port in ports}
        found = [publish for mapped in self._mapped if (publish := self._publish(mapped, names))]
        if self._hub.listen is not None and (own := self._own(self._hub.listen, ports)):
            found = [own, *(publish for publish in found if publish.port != own.port)]
        return tuple(dict.fromkeys(sorted(found, key=lambda publish: publish.port != MAIN)))

    def _publish(self, mapped: Mapped, names: dict[int, str]) -> Publish | None:
        number = mapped.number
        if mapped.protocol != "tcp":
            self._findings.note("ports that are not TCP are not served by the gateway", self._name)
            return None
        if number is None:
            self._findings.note("ports published without a number are not served by the gateway", self._name)
            return None
        if mapped.target not in names:
            self._findings.note(
                "published ports that x-hub.ports does not name are not served by the gateway", self._name
            )
            return None
        if mapped.host:
            return Publish(names[mapped.target], mapped.host, number)
        if self._guess is not None:
            # Somebody else's file means what compose makes of it.
            return Publish(names[mapped.target], EVERYWHERE, number)
        self._findings.note("ports published without an address listen on 127.0.0.1 only", self._name)
        return Publish(names[mapped.target], LOOPBACK, number)

    def _own(self, text: str, ports: tuple[Port, ...]) -> Publish | None:
        match = _LISTEN.match(text)
        number = int(match["port"]) if match else 0
        host = _host((match and match["host"]) or LOOPBACK)
        if not host or not 0 < number <= HIGHEST:
            self._tell(("x-hub", "listen"), "a port such as 8123, or an address such as 127.0.0.1:8123", text)
            return None
        if not ports:
            self._tell(("x-hub", "listen"), "a service with a port (say x-hub.port)", text)
            return None
        return Publish(MAIN, host, number)

    def _tell(self, inside: Path, wanted: str, value: object = ...) -> None:
        mark = where(self._raw, inside)
        self._findings.at(mark, (*self._path, *inside), wanted, ... if value is None else value)


def is_tcp(ports: tuple[Port, ...]) -> bool:
    """Whether the main port is one that traffic does not wake."""
    return bool(ports) and ports[0].protocol is Protocol.TCP


def _host(text: str) -> str:
    """As `address`; empty where it is none."""
    try:
        return address(text)
    except ValueError:
        return ""
