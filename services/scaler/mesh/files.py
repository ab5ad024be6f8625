"""Writing Envoy's files: whole or not at all, and only where the content has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from services.scaler.mesh.config.common import Json
from services.scaler.mesh.config.wire import encode

BINARY = ".pb"
"""Ending by which Envoy, too, knows a binary file; another holds JSON."""


def write_if_changed(path: Path, document: Json) -> bool:
    """Returns whether it was written. Envoy takes notice of the rename. Raises OSError; KeyError as `encode`."""
    content = encode(document) if path.suffix == BINARY else _as_json(document)
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    _put(path, content)
    return True


def write_again(path: Path) -> None:
    """The same once more, so that Envoy reads it anew. Raises OSError."""
    _put(path, path.read_bytes())


def _put(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    fresh.replace(path)


def _as_json(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
