"""What a supervisor is told to do, and the ways in which it can end.

Owns the exit codes that the command line documents. Imports nothing heavy: everything in this package shares the small
memory of a process that only waits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
SCALER = "services.scaler"
DRIVERS = ("process", "docker")
"""What services run as; the first unless said otherwise."""
NAMES = ("alias", "holder")
"""Who answers to services' names inside container networks; the first unless said otherwise."""


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    """A faulty catalogue, a bad option, a service that does not exist."""
    WRONG_STATE = 3
    """A hub already runs on this data folder, or none runs where one is needed."""
    PORT = 4
    """The address to listen on cannot be had."""


class SupervisorError(Exception):
    """Ends the hub's start. The message says what is wrong and what mends it."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Listen:
    host: str = DEFAULT_HOST
    port: int = 8000

    @classmethod
    def parse(cls, text: str) -> Listen:
        """`HOST:PORT`, `[V6]:PORT`, `:PORT` or `PORT`. Raises ValueError."""
        host, colon, number = text.strip().rpartition(":")
        if not number.isascii() or not number.isdigit() or not 0 < int(number) < 65536:
            raise ValueError(f"{text!r} is not HOST:PORT with a port from 1 to 65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:8000")
        if not host and colon:
            raise ValueError(f"{text!r} names no host; 0.0.0.0:{number} listens on every address of this machine")
        return cls(host or DEFAULT_HOST, int(number))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def shown_host(self) -> str:
        """The host as somebody on this machine would write it."""
        if self.is_loopback or self.host in ("0.0.0.0", "::"):
            return "localhost"
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True, slots=True)
class Config:
    catalogs: tuple[str, ...]
    """Files or globs, handed to the scaler as they are."""
    data: Path
    """Absolute."""
    listen: Listen = Listen()
    domain: str | None = None
    """Name of this machine for others; services are NAME.DOMAIN there."""
    memory: int | None = None
    """Budget in bytes; None: the scaler takes the machine's."""
    concurrency: int = 0
    """Worker threads of Envoy; 0: one a core, at most four."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    scaler: str = SCALER
    """Module that is run as the scaler."""
    driver: str = DRIVERS[0]
    lazy: str | None = None
    """`all` or names between commas: containers that are lazy besides those whose file says so."""
    project_name: str | None = None
    names: str = NAMES[0]
    """Compose project of the one catalogue file."""

    @property
    def workers(self) -> int:
        return self.concurrency or min(4, len(os.sched_getaffinity(0)))

    @property
    def url(self) -> str:
        return f"{'https' if self.tls_cert else 'http'}://{self.listen.shown_host}:{self.listen.port}"
