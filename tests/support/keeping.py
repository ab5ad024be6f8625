"""A service with data for tests of their care: the small web server of the stand-ins, as a process."""

from __future__ import annotations

import hashlib
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.catalogue import Rests, entry

WEB = Path(__file__).parent / "images" / "docker" / "web" / "web.py"


def keeper(rests: Rests | None = None, **hub: Any) -> dict[str, Any]:
    """What is put under /data/NAME stays in its data folder."""
    environment = {"PORTS": "{port}", "DATA": "{data}", "BIND": "127.0.0.1"}
    local = {"environment": environment, **hub.pop("local", {})}
    return entry([sys.executable, "-I", "-S", str(WEB)], rests, hub={"local": local, **hub})


def put(base: str, name: str, content: bytes) -> None:
    request = urllib.request.Request(f"{base}/data/{name}", data=content, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status < 300


def get(base: str, name: str) -> bytes | None:
    """None where there is no such file."""
    try:
        with urllib.request.urlopen(f"{base}/data/{name}", timeout=60) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None


def spoil(archive: Path) -> None:
    """Change one byte in the middle; the length stays."""
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(bytes(content))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
