"""The two files of one backup: `NAME-STAMP.tar.gz` and, beside it, `NAME-STAMP.json`, which says what it is.

The archive is written first and under another name; the manifest last. So a backup that was broken off is none.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FORMAT = 1
_ENDING = ".tar.gz"
_STAMP = "%Y%m%dT%H%M%SZ"
_PIECE = 1 << 20
_LEVEL = 3
"""Models and vectors hardly get smaller by more effort."""


class BadCopy(Exception):
    """It cannot be restored from; the message says why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    service: str
    made: str
    """UTC, as `20260131T090500Z`."""
    version: str
    """Of the hub that made it."""
    image: str
    """Or package, that the data was written by."""
    parts: tuple[str, ...]
    """Volumes, or `data` for the folder of a service without containers."""
    how: str
    """`rested`, `frozen` or `snapshot`: what the service did meanwhile."""
    sha256: str
    size: int
    """Bytes of the archive before it was packed."""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Copy:
    archive: Path
    manifest: Manifest


def now() -> str:
    return datetime.now(UTC).strftime(_STAMP)


def write(
    folder: Path, service: str, pieces: Iterable[bytes], *, version: str, image: str, parts: Iterable[str], how: str
) -> Copy:
    """Pack an archive that comes in pieces. Raises OSError, and whatever `pieces` raises; nothing is left then."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = now()
    archive = folder / f"{service}-{made}{_ENDING}"
    partial = archive.with_suffix(".partial")
    size = 0
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as packed:
                for piece in pieces:
                    packed.write(piece)
                    size += len(piece)
            file.flush()
            os.fsync(file.fileno())
        manifest = Manifest(service, made, version, image, tuple(parts), how, _digest(partial), size)
        os.replace(partial, archive)
        _manifest_of(archive).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return Copy(archive, manifest)


def find(place: Path, service: str | None) -> Copy:
    """The copy that `place` names: its archive, its manifest, or the newest one of the service in a folder. Not yet
    verified. Raises BadCopy."""
    if place.is_dir():
        found = [copy for copy in every(place) if service in (None, copy.manifest.service)]
        if not found:
            raise BadCopy(f"{place} holds no backup{f' of {service}' if service else ''}")
        if service is None and len({copy.manifest.service for copy in found}) > 1:
            raise BadCopy(f"{place} holds backups of several services: say which one")
        return found[-1]
    archive = place.with_suffix("").with_suffix(_ENDING) if place.suffix == ".json" else place
    copy = read(archive)
    if service not in (None, copy.manifest.service):
        raise BadCopy(f"{archive} is of {copy.manifest.service}, not of {service}")
    return copy


def every(folder: Path) -> list[Copy]:
    """The complete ones of a folder, oldest first; what is no backup is passed over."""
    found = []
    for archive in folder.glob(f"*{_ENDING}"):
        try:
            found.append(read(archive))
        except BadCopy:
            continue
    return sorted(found, key=lambda copy: (copy.manifest.made, copy.manifest.service))


def read(archive: Path) -> Copy:
    """Raises BadCopy."""
    beside = _manifest_of(archive)
    if not archive.is_file():
        raise BadCopy(f"{archive}: no such file")
    try:
        said = json.loads(beside.read_text())
        manifest = Manifest(**{**said, "parts": tuple(said["parts"])})
    except FileNotFoundError:
        raise BadCopy(f"{archive} has no manifest beside it ({beside.name})") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadCopy(f"{beside} is no manifest of a backup: {error}") from None
    if manifest.format != FORMAT:
        raise BadCopy(f"{beside} is of format {manifest.format}; this hub reads {FORMAT}")
    return Copy(archive, manifest)


def verify(copy: Copy) -> None:
    """Read all of it once, as it was written. Raises BadCopy."""
    if (found := _digest(copy.archive)) != copy.manifest.sha256:
        raise BadCopy(f"{copy.archive} is damaged: its SHA-256 is {found}, its manifest says {copy.manifest.sha256}")


def pieces(copy: Copy) -> Iterator[bytes]:
    """The archive, unpacked. Raises BadCopy where it ends too early."""
    try:
        with gzip.open(copy.archive, "rb") as packed:
            while piece := packed.read(_PIECE):
                yield piece
    except (OSError, EOFError) as error:
        raise BadCopy(f"{copy.archive} cannot be read: {error}") from None


def thin_out(folder: Path, service: str, keep: int) -> list[Path]:
    """Remove all but the newest `keep` of one service. Returns what went."""
    mine = [copy for copy in every(folder) if copy.manifest.service == service]
    gone = [copy.archive for copy in mine[: max(0, len(mine) - keep)]]
    for archive in gone:
        _manifest_of(archive).unlink(missing_ok=True)
        archive.unlink(missing_ok=True)
    return gone


def _manifest_of(archive: Path) -> Path:
    return archive.with_name(archive.name.removesuffix(_ENDING) + ".json")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
