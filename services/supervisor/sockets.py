"""The listening sockets that outlive every scaler: while none runs, callers wait in the kernel's queue.

Without them a scaler's restart would refuse Envoy's checks, and held requests would be lost.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

from services.layout import Layout

# As many as the mesh may hold at once, and more; the kernel cuts it to net.core.somaxconn.
_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Sockets:
    check: socket.socket
    ads: socket.socket
    admin: socket.socket
    paths: tuple[Path, ...]

    @classmethod
    def open(cls, layout: Layout) -> Sockets:
        """Takes over the names that an earlier life left. The caller holds the lock on the data folder."""
        paths = (layout.check_socket, layout.ads_socket, layout.admin_socket)
        check, ads, admin = (_listen(path) for path in paths)
        return cls(check, ads, admin, paths)

    def close(self) -> None:
        for path in self.paths:
            path.unlink(missing_ok=True)
        for one in (self.check, self.ads, self.admin):
            with contextlib.suppress(OSError):
                one.close()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(_BACKLOG)
    return listening
