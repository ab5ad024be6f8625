"""The gateways of one hub by name, and the folder that each has for itself.

The edge, `hub`, has its sockets in the run folder. Each inner gateway (`inner-1`, `inner-2` …) has
`DATA/run/gateways/NAME`: its bootstrap, its gate and its admin socket; in a container at the same path. Clusters,
routes and listeners are the same for all inner ones, and stand in the folder of Envoy's files.
"""

from __future__ import annotations

import errno
import re
import shutil
import socket
from pathlib import Path

from services.layout import Layout

EDGE = "hub"
_INNER = re.compile(r"inner-[1-9]\d?")
_DEAD = frozenset({errno.ENOENT, errno.ECONNREFUSED})
BOOTSTRAP_FILE = "bootstrap.json"


class GatewayFolders:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def inner(self) -> tuple[str, ...]:
        """Names of the inner gateways that have a folder."""
        try:
            return tuple(sorted(path.name for path in self._layout.gateways.iterdir() if _INNER.fullmatch(path.name)))
        except FileNotFoundError:
            return ()

    def gate(self, name: str) -> str | None:
        """Path of its gate's socket; None where no gateway may have that name."""
        if name == EDGE:
            return str(self._layout.gate_socket)
        return str(self._layout.gateways / name / "gate.sock") if _INNER.fullmatch(name) else None

    def admin(self, name: str) -> str:
        if name == EDGE:
            return str(self._layout.envoy_admin_socket)
        return str(self._layout.gateways / name / "envoy-admin.sock")

    def bootstrap(self, name: str) -> Path:
        return (self._layout.envoy if name == EDGE else self._layout.gateways / name) / BOOTSTRAP_FILE

    def make(self, name: str) -> None:
        """Make an inner gateway's folder, if need be. Raises ValueError where the name is none of theirs, OSError."""
        if not _INNER.fullmatch(name):
            raise ValueError(f"an inner gateway is called inner-1 to inner-99, not {name!r}")
        for folder in (self._layout.gateways, self._layout.gateways / name):
            folder.mkdir(mode=0o700, exist_ok=True)

    def remove(self, name: str) -> None:
        """Once the gateway has ended. Raises ValueError as `make` does; nothing where there is none."""
        if not _INNER.fullmatch(name):
            raise ValueError(f"an inner gateway is called inner-1 to inner-99, not {name!r}")
        shutil.rmtree(self._layout.gateways / name, ignore_errors=True)

    def unseen(self, connected: frozenset[str]) -> str | None:
        """A gateway that runs and is not among the connected; None where there is none. One that has ended leaves a
        socket on which nobody listens."""
        return next((name for name in (EDGE, *self.inner()) if name not in connected and self._runs(name)), None)

    def _runs(self, name: str) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            return probe.connect_ex(self.admin(name)) not in _DEAD
