"""Files that hold secrets: replaced in one step, and their owner's alone from the first byte."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, text: str) -> bool:
    """Replace `path`, mode 0600; whoever is killed in between leaves the old file. A folder that is missing is made,
    mode 0700. Returns whether the text has changed. Raises OSError, UnicodeDecodeError."""
    if path.is_file() and path.read_text("utf-8") == text:
        path.chmod(0o600)
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it 0600, before a single secret is in it.
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        os.unlink(partial)
        raise
    return True
