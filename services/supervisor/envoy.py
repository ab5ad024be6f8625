"""Envoy as a program: where its binary is, how it is started, whether it is ready, why it ended."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from pathlib import Path

from services.layout import Layout
from services.supervisor.config import Config, Exit, SupervisorError

_CANNOT_BIND = re.compile(r"cannot bind '([^']+)': (.+)")


def find_binary() -> str:
    """`$AIHUB_ENVOY`, else the one scripts/setup installed, else the one on PATH. Raises SupervisorError."""
    named = os.environ.get("AIHUB_ENVOY")
    if named:
        if not os.access(named, os.X_OK):
            raise SupervisorError(
                Exit.FAILED, f"$AIHUB_ENVOY names {named}, which is no program that this user may run"
            )
        return named
    # In a folder of its own: its wheel and xds-protos both own a Python package `envoy`.
    ours = Path(sys.prefix, "opt", "envoy", "envoy", "_bin", "envoy")
    if os.access(ours, os.X_OK):
        return str(ours)
    found = shutil.which("envoy")
    if found is None:
        raise SupervisorError(
            Exit.FAILED,
            "Envoy is not installed.\nRun ./scripts/setup, or name a binary of Envoy 1.40 or newer with $AIHUB_ENVOY.",
        )
    return found


def command(binary: str, config: Config, layout: Layout, log: Path) -> list[str]:
    return [
        binary,
        *("-c", str(layout.envoy / "bootstrap.json")),
        "--disable-hot-restart",
        # A port that goes to another service tells its old connections so with the next answer, not within minutes.
        *("--drain-strategy", "immediate"),
        *("--concurrency", str(config.workers)),
        *("--log-level", "warn"),
        *("--log-path", str(log)),
    ]


def environment() -> dict[str, str]:
    """Nothing of the user's: Envoy needs none of it, and it faces the network."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def clear(layout: Layout) -> None:
    """Remove the sockets that an earlier Envoy left."""
    for path in (layout.gate_socket, layout.envoy_admin_socket):
        path.unlink(missing_ok=True)


def is_ready(layout: Layout, limit: float = 0.25) -> bool:
    """Whether Envoy's admin says that it serves. Blocks for `limit` seconds at most."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as admin:
        admin.settimeout(limit)
        try:
            admin.connect(str(layout.envoy_admin_socket))
            admin.sendall(b"GET /ready HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n")
            return admin.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def refused_address(said: str) -> str | None:
    """The address that Envoy could not have, from what it logged."""
    found = _CANNOT_BIND.search(said)
    return f"{found[1]}: {found[2]}" if found else None
