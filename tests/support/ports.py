"""Free ports below the kernel's ephemeral range, where no outgoing connection can take them."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 20000, 32000


def free_port() -> int:
    """A port that nobody listens on just now; each call of one process returns another."""
    while True:
        port = random.randrange(LOWEST, HIGHEST)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


_given: set[int] = set()
