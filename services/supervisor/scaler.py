"""The scaler as a program: how it is started, and what it says when it is ready or cannot begin."""

from __future__ import annotations

import os
import sys

from services.supervisor.config import DRIVERS, NAMES, Config
from services.supervisor.sockets import Sockets


def command(config: Config, binary: str, sockets: Sockets, ready: int) -> list[str]:
    """`binary`: Envoy's, which gateways inside container networks run too."""
    # -P: a folder named `services` where the user happens to stand must not be taken for ours.
    argv = [sys.executable, "-P", "-m", config.scaler]
    for catalog in config.catalogs:
        argv += ["--catalog", catalog]
    argv += ["--data", str(config.data), "--listen", str(config.listen), "--concurrency", str(config.workers)]
    if config.domain is not None:
        argv += ["--domain", config.domain]
    if config.memory is not None:
        argv += ["--memory", str(config.memory)]
    if config.driver != DRIVERS[0]:
        argv += ["--driver", config.driver, "--envoy", binary]
    if config.lazy is not None:
        argv += ["--lazy", config.lazy]
    if config.project_name is not None:
        argv += ["--project-name", config.project_name]
    if config.names != NAMES[0]:
        argv += ["--names", config.names]
    if config.tls_cert and config.tls_key:
        argv += ["--tls-cert", str(config.tls_cert), "--tls-key", str(config.tls_key)]
    for name, descriptor in (
        ("check", sockets.check.fileno()),
        ("ads", sockets.ads.fileno()),
        ("admin", sockets.admin.fileno()),
        ("ready", ready),
    ):
        argv += [f"--{name}-fd", str(descriptor)]
    return argv


def environment() -> dict[str, str]:
    """The user's own, whole: the catalogue's `${NAME}` are looked up in it, and installers read their registries and
    certificates from it. What a replica gets is the driver's decision."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


class Greeting:
    """The pipe on which one scaler says `READY`, or `ERROR` and what is wrong until it closes it."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._said = b""
        self._ended = False

    def fileno(self) -> int:
        return self._reader

    def handed_over(self) -> None:
        """Close our copy of the writing end, once the child has its own."""
        os.close(self.writer)

    def read(self) -> None:
        """Take in what is there; never blocks."""
        try:
            while chunk := os.read(self._reader, 65536):
                self._said += chunk
            self._ended = True
        except BlockingIOError:
            pass

    @property
    def is_ready(self) -> bool:
        return self._said.startswith(b"READY\n")

    def error(self, *, complete: bool = False) -> str | None:
        """What the scaler found wrong, once all of it was said: `complete`, or the pipe closed."""
        if (complete or self._ended) and self._said.startswith(b"ERROR"):
            return self._said.decode(errors="replace").removeprefix("ERROR").strip()
        return None

    def close(self) -> None:
        os.close(self._reader)
