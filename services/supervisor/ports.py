"""Whether the hub's address can be had, and who has it otherwise."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from services.supervisor import proc
from services.supervisor.config import Exit, Listen, SupervisorError

_LISTENING = "0A"


def check_free(listen: Listen) -> None:
    """Raises SupervisorError with what holds the address and how to choose another."""
    try:
        family, _, _, _, address = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise SupervisorError(Exit.PORT, f"--listen {listen}: no such host ({error.strerror})") from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # What waits out its TIME_WAIT does not stand in Envoy's way, and must not in ours.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise SupervisorError(Exit.PORT, explain(listen, error.errno or 0)) from None


def explain(listen: Listen, number: int) -> str:
    match number:
        case errno.EADDRINUSE:
            who = holder(listen.port)
            return (
                f"{listen} is taken{f' by {who}' if who else ''}.\n"
                f"Free it, or choose another address: aihub up --listen {listen.host}:{listen.port + 1}"
            )
        case errno.EACCES:
            return f"{listen}: this user may not have so low a port.\nChoose a higher one: --listen {listen.host}:8000"
        case errno.EADDRNOTAVAIL:
            return (
                f"{listen}: this machine has no such address.\nUse one that it has, 127.0.0.1 for this machine alone."
            )
        case _:
            return f"cannot listen on {listen}: {os.strerror(number)}"


def holder(port: int) -> str | None:
    """`pid 12 (nginx: master)`; None where this user cannot see it."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for pid in proc.pids():
        folder = f"/proc/{pid}/fd"
        try:
            links = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
        except OSError:
            continue
        if any(link in inodes for link in links):
            return f"pid {pid} ({proc.command_line(pid)[:80]})"
    return None


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
