"""The `.env` beside the compose file: credentials made once, kept for ever, readable by its owner alone.

A variable is a credential of the hub's own where its name is `HUB_…_PASSWORD`, `…_TOKEN`, `…_SECRET` or `…_KEY`. Keys
that only the user can have (of some provider) are named otherwise and never made up. Beside them stands what the last
deploy said of this machine, so that `docker compose` by hand, and the compose inside the hub's container, mean the same
deployment.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from services import private_file
from services.catalog.dotenv import DotenvFault, parse
from services.deploy import consul_access

_OWN = re.compile(r"HUB_[A-Z0-9_]*_(?:PASSWORD|TOKEN|SECRET|KEY)\Z")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")
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


def check_forms(path: Path) -> None:
    """Raises EnvFileFault where a value that somebody has written cannot be what it is for."""
    token = read(path).get(consul_access.TOKEN)
    if token and not consul_access.is_token(token):
        raise EnvFileFault(
            f"{path}: {consul_access.TOKEN} is no UUID, and Consul takes no other token. Take the line away, and the"
            " next deploy draws one; nothing was changed."
        )


def complete(path: Path, wanted: Iterable[str], settings: Mapping[str, str | None]) -> list[str]:
    """Draw a random value for each credential of `wanted` that the file lacks; what is there is never changed. Bring
    `settings` up to date, in place where the file has them; None: the line goes. Every other line stays as it is.
    Returns the names of new credentials. The file is 0600 afterwards. Raises EnvFileFault, OSError.
    """
    there = read(path)
    drawn = {name: _drawn(name) for name in wanted if is_credential(name) and not there.get(name)}
    said = {name: value for name, value in {**settings, **drawn}.items() if there.get(name) != value}
    if said:
        text = path.read_text(encoding="utf-8") if path.exists() else _HEADER
        private_file.write(path, _with(text, said))
    elif path.exists() and path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return list(drawn)


def _drawn(name: str) -> str:
    # Consul takes tokens of this form alone; 122 bits of it are random.
    return str(uuid.uuid4()) if name == consul_access.TOKEN else secrets.token_hex(_BYTES)


def _with(text: str, said: Mapping[str, str | None]) -> str:
    kept: list[str] = []
    placed: set[str] = set()
    for line in text.splitlines():
        found = _LINE.match(line)
        name = found[1] if found else ""
        if name not in said:
            kept.append(line)
        elif said[name] is not None and name not in placed:
            kept.append(f"{name}={_quoted(said[name] or '')}")
            placed.add(name)
    kept += [f"{name}={_quoted(value)}" for name, value in said.items() if value is not None and name not in placed]
    return "".join(f"{line}\n" for line in kept)


def _quoted(value: str) -> str:
    plain = re.fullmatch(r"[\w./:@%+,=-]*", value) is not None
    return value if plain else "'" + value.replace("'", "\\'") + "'"
