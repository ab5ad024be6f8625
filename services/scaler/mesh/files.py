"""Writing Envoy's files: whole or not at all, and only where the content has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_if_changed(path: Path, document: Any) -> bool:
    """Returns whether it was written. Envoy takes notice of the rename. Raises OSError."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    try:
        if path.read_bytes() == text:
            return False
    except FileNotFoundError:
        pass
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(text)
    fresh.chmod(0o600)
    fresh.replace(path)
    return True
