"""Adopting somebody's compose file: an override beside it makes services lazy, and ejecting takes it back.

Owns planning both, as values that can be shown before anything is written, and writing them. The file itself is never
touched. An override that is there already keeps its bytes: ours is a further YAML document behind it, which compose
merges last, so ejecting is cutting that document off again. A copy of what was there is kept until then.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.catalog.faults import Findings
from services.catalog.project import ADOPTED, ProjectReader
from services.catalog.store import Store
from services.compose.beside import MARK, files_of, is_default, is_ours, override_of
from services.compose.lazy import Choice, Wish
from services.compose.override import override, text
from services.compose.stacks import StackReader

_BACKUP = ".before-adopt"
_BEGIN = re.compile(
    rb"(?P<added>\n?)(?P<document>---\n)?^"
    + re.escape(MARK.encode())
    + rb" (?P<how>\w+) sha256:(?P<sum>[0-9a-f]{64})\n",
    re.MULTILINE,
)
_HEADER = """What follows was written by `aihub adopt {name}`; `aihub eject {name}` takes it back.
It makes these services lazy: they start when somebody uses them, and rest after that. The hub
(`aihub up --driver docker --catalog {name}`) starts them and has their published ports and names.
"""


class AdoptError(Exception):
    """Why it cannot be done; the first line says what is wrong, further ones what mends it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One file that is to be written or removed."""

    file: Path
    override: Path
    before: bytes | None
    """None: there is none."""
    after: bytes | None
    """None: it is to be removed."""
    choice: Choice = field(default_factory=Choice)
    edited: bool = False
    """Somebody changed what we wrote."""
    users: bytes | None = None
    """The part that is the user's own; None where there is none."""

    @property
    def backup(self) -> Path:
        return self.override.with_name(self.override.name + _BACKUP)

    @property
    def is_merged_by_compose(self) -> bool:
        """Whether compose takes the override by itself, without `-f`."""
        return is_default(self.file)

    def diff(self) -> str:
        """Unified; empty where nothing changes."""
        now, then = (
            (side or b"").decode(errors="replace").splitlines(keepends=True) for side in (self.before, self.after)
        )
        lines = difflib.unified_diff(now, then, f"{self.override.name} (now)", f"{self.override.name} (then)")
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def plan_adopt(file: Path, wish: Wish | None, environ: Mapping[str, str] | None = None) -> Plan:
    """What adopting the file would write; it may be adopted already. Raises CatalogError for a faulty file and
    AdoptError where there is nothing to do."""
    file = Path(os.path.abspath(file))
    path = override_of(file)
    before = path.read_bytes() if path.is_file() else None
    users = split(before)[0] if before is not None else None
    reader = StackReader(wish, environ=environ, adopted=False)
    catalog = reader.read([file])
    lazy = [one.containers.name for name in reader.choice.taken if (one := catalog.services[name]).containers]
    if not lazy:
        reasons = "\n".join(line for line in reader.choice.lines() if not line.startswith("lazy:"))
        raise AdoptError(f"{file}: no service of it can be lazy\n{reasons}".rstrip())
    services = ProjectReader(Store(), adopted=False).read(
        files_of(file), dict(os.environ if environ is None else environ), Findings()
    )
    document = override({"services": services.services}, lazy)
    ours = text({ADOPTED: True, **document}, _HEADER.format(name=file.name)).encode()
    return Plan(file, path, before, _joined(users, ours), reader.choice, users=users)


def plan_eject(file: Path) -> Plan:
    """What taking it back would leave. Raises AdoptError where the file is not adopted."""
    file = Path(os.path.abspath(file))
    path = override_of(file)
    if not is_ours(path):
        raise AdoptError(f"{file} is not adopted: {path.name} beside it {_why_not(path)}")
    before = path.read_bytes()
    users, edited = split(before)
    if users == before:
        raise AdoptError(f"{path}: the line {MARK!r} was changed\nTake out by hand what stands below it.")
    return Plan(file, path, before, users, edited=edited, users=users)


def carry_out(plan: Plan) -> None:
    """Write or remove the override, and keep or drop the copy of what was there. Raises OSError and AdoptError."""
    if plan.after is None:
        plan.override.unlink(missing_ok=True)
    elif plan.after != plan.before:
        if plan.users is not None and plan.after != plan.users:
            if plan.backup.exists() and plan.before == plan.users:
                raise AdoptError(f"{plan.backup} is there already\nMove it away; the copy of yours would replace it.")
            _write(plan.backup, plan.users, like=plan.override)
        _write(plan.override, plan.after, like=plan.override if plan.before is not None else plan.file)
    if plan.after in (None, plan.users):
        plan.backup.unlink(missing_ok=True)


def split(content: bytes) -> tuple[bytes | None, bool]:
    """The user's own part of an override, None where there is none; and whether ours is not as we wrote it."""
    found = _BEGIN.search(content)
    if found is None:
        return content, False
    edited = hashlib.sha256(content[found.end() :]).hexdigest().encode() != found["sum"]
    if not found["document"]:
        return (content[: found.start()] or None), edited
    kept = content[: found.start()] + (b"" if found["how"] == b"unended" else found["added"])
    return kept, edited


def _joined(users: bytes | None, ours: bytes) -> bytes:
    digest = hashlib.sha256(ours).hexdigest()
    if users is None:
        return f"{MARK} alone sha256:{digest}\n".encode() + ours
    ended = users.endswith(b"\n") or not users
    mark = f"{MARK} {'behind' if ended else 'unended'} sha256:{digest}\n".encode()
    return users + (b"" if ended else b"\n") + b"---\n" + mark + ours


def _write(path: Path, content: bytes, *, like: Path) -> None:
    """Whole or not at all, with owner and mode of the file it goes with."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_bytes(content)
        shutil.copymode(like, new)
        with contextlib.suppress(PermissionError):
            stat = like.stat()
            os.chown(new, stat.st_uid, stat.st_gid)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _why_not(path: Path) -> str:
    return "has nothing of ours" if path.is_file() else "is not there"
