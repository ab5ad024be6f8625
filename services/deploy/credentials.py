"""The `.env` beside the compose file: credentials made once, kept for ever, readable by its owner alone.

A variable is a credential of the hub's own where its name is `HUB_…_PASSWORD`, `…_TOKEN`, `…_SECRET` or `…_KEY`. Keys
that only the user can have (of some provider) are named otherwise and never made up.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from services.catalog.dotenv import DotenvFault, parse

_OWN = re.compile(r"HUB_[A-Z0-9_]*_(?:PASSWORD|TOKEN|SECRET|KEY)\Z")
_HEADER = "# Credentials of this hub, made when it was first deployed. Keep this file: data was written with them.\n"
_BYTES = 24


class EnvFileFault(Exception):
    """The file cannot be used; the message names place and remedy."""


def is_credential(variable: str) -> bool:
    return _OWN.match(variable) is not None


def read(path: Path) -> Mapping[str, str]:
    """Variables of the file; none where it is missing. Raises EnvFileFault."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileFault(f"{path} cannot be read: {error}") from error
    try:
        return {name: value or "" for name, value in parse(text, {}).items()}
    except DotenvFault as error:
        raise EnvFileFault(f"{path}:{error.line}: {error}. Mend the line; nothing was changed.") from error


def complete(path: Path, wanted: Iterable[str], fixed: Mapping[str, str]) -> list[str]:
    """Add what the file lacks: random credentials for `wanted`, and `fixed` values. What is there is never changed, in
    value or in place. Returns the names that were added. The file is 0600 afterwards. Raises EnvFileFault, OSError.
    """
    there = read(path)
    added = {name: value for name, value in fixed.items() if name not in there}
    added |= {name: secrets.token_hex(_BYTES) for name in wanted if is_credential(name) and not there.get(name)}
    if added:
        text = path.read_text(encoding="utf-8") if path.exists() else _HEADER
        text += "" if not text or text.endswith("\n") else "\n"
        _write(path, text + "".join(f"{name}={_quoted(value)}\n" for name, value in added.items()))
    elif path.exists() and path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return list(added)


def _quoted(value: str) -> str:
    plain = re.fullmatch(r"[\w./:@%+,=-]*", value) is not None
    return value if plain else "'" + value.replace("'", "\\'") + "'"


def _write(path: Path, text: str) -> None:
    """In one step: a deploy that is killed leaves the old file or the new one."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".env.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o600)
        os.replace(partial, path)
    except OSError:
        os.unlink(partial)
        raise
