"""One hub for one compose project: a name that the kernel gives to one process and takes back however that ends.

Two hubs over one project would end each other's containers under their requests, for each sees its own traffic alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct

from services.supervisor.config import Exit, SupervisorError

_CREDENTIALS = struct.Struct("iII")


def claim(file: str, project_name: str | None) -> socket.socket:
    """Claim the project that a file describes; close the socket to let go. The name is known to all users of this
    machine, though not from within a container. Raises SupervisorError where another hub has it."""
    address = _address(file, project_name)
    mine = socket.socket(socket.AF_UNIX)
    try:
        mine.bind(address)
    except OSError as error:
        mine.close()
        if error.errno != errno.EADDRINUSE:
            raise
        who = f" (pid {pid})" if (pid := _holder(address)) else ""
        raise SupervisorError(
            Exit.WRONG_STATE,
            f"another hub{who} already keeps the containers of {file}.\n"
            "End it with `aihub down --data` and its data folder, or name another project: --project-name NAME.",
        ) from None
    mine.listen(1)  # whoever connects is told our process id by the kernel
    return mine


def _address(file: str, project_name: str | None) -> str:
    told = f"{os.path.realpath(file)}\0{project_name or ''}".encode(errors="surrogateescape")
    return f"\0aihub-project-{hashlib.sha256(told).hexdigest()[:32]}"


def _holder(address: str) -> int | None:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(address)
        except OSError:
            return None
        pid, _, _ = _CREDENTIALS.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(pid)
