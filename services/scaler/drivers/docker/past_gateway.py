"""Callers of a lazy container who do not come by the gateway: at ports that the engine publishes for it, or by a name.

Only a container that somebody else has started has such callers, and only until its next stop.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

_ESTABLISHED = "01"


def connections(pid: int, ports: Collection[int], proc: Path = Path("/proc")) -> int | None:
    """How many are open at these ports of the process's network; None where this user may not look. Blocks for 10 ms.
    Those from the gateway are among them: they are in use as well, and when idle they end within a second."""
    found = 0
    for table in ("tcp", "tcp6"):
        try:
            rows = (proc / str(pid) / "net" / table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # no IPv6, or it has just ended
        except OSError:
            return None
        for row in rows:
            _, local, _, state, *_ = row.split()
            found += state == _ESTABLISHED and int(local.rpartition(":")[2], 16) in ports
    return found


def against_pause(ports: Collection[int]) -> str | None:
    """Why it may only be stopped; None where it may be frozen too. At a frozen one, callers would wait for ever."""
    return f"its port {min(ports)} can be called past the gateway" if ports else None
