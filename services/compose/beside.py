"""Which files make one compose project: the file somebody names, and the override that compose takes beside it.

Owns compose's own names for both, and the mark by which an override of ours is known.
"""

from __future__ import annotations

import os
from pathlib import Path

from services.catalog.dotenv import DotenvFault, parse

DEFAULTS = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In compose's order: the first one that is there is the project's."""
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
"""Whichever of the files above is there, the first of these beside it is merged over it."""
MARK = "# >>> aihub adopt"
"""Begins the part of an override that is ours; what stands before it is the user's own."""


def is_default(file: Path) -> bool:
    """Whether `docker compose` in that folder takes this very file by itself."""
    there = next((name for name in DEFAULTS if (file.parent / name).is_file()), file.name)
    return file.name in DEFAULTS and file.name == there


def override_of(file: Path) -> Path:
    """Where an override of the file is, or would be written."""
    if is_default(file):
        there = next((file.parent / name for name in OVERRIDES if (file.parent / name).is_file()), None)
        if there is not None:
            return there
    return file.with_name(f"{file.stem}.override{file.suffix}")


def files_of(file: Path) -> list[Path]:
    """The file and those that go with it: where `COMPOSE_FILE` in the `.env` beside it names it first, all that stand
    there; else compose's own override, and for a file that compose is told of by `-f` only one of `aihub adopt`.
    """
    if named := _named_together(file):
        return named
    override = override_of(file)
    return [file, override] if override.is_file() and (is_default(file) or is_ours(override)) else [file]


def watched(file: Path) -> list[Path]:
    """Files whose coming or going changes `files_of`."""
    names = [*DEFAULTS, *OVERRIDES] if file.name in DEFAULTS else []
    others = [*_named_together(file)[1:], file.parent / ".env"]
    return [file, *(file.parent / name for name in names if name != file.name), override_of(file), *others]


def _named_together(file: Path) -> list[Path]:
    """Empty where the `.env` names no files, or others first."""
    env = file.parent / ".env"
    try:
        said = parse(env.read_text("utf-8-sig"), {})
    except (OSError, UnicodeDecodeError, DotenvFault):
        return []  # the catalogue's reader tells what is wrong with it
    names = (said.get("COMPOSE_FILE") or "").split(said.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
    paths = [Path(os.path.normpath(file.parent / name)) for name in names if name]
    return paths if paths and paths[0] == file else []


def is_ours(override: Path) -> bool:
    try:
        return MARK.encode() in override.read_bytes()
    except OSError:
        return False
