"""Installs what a service needs before its first start, one service at a time.

An environment stands in `envs/NAME/FINGERPRINT/`: the fingerprint is of the requirement, its lock and the Python, so a
changed lock gets a new folder and what still runs from the old one is not pulled away under its feet. The folder counts
only once its `complete` file is there. A broken-off installation is done anew, from the cache: what had been downloaded
is not downloaded again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from services import disk
from services.catalog.model import Package
from services.layout import Layout
from services.scaler.drivers.base import PrepareError, ProgressReport
from services.scaler.drivers.keeping import Newer
from services.scaler.drivers.process.npm import Npm
from services.scaler.drivers.process.pypi import PyPI, uv
from services.scaler.drivers.process.tool import Tools

_COMPLETE = "complete"
_HELD = "held"


class Installer:
    def __init__(self, layout: Layout, mark: str, floor: int) -> None:
        """`mark`: what installing programs carry, for a later life to find them by."""
        self._layout = layout
        self._floor = floor
        self._tools = Tools(mark, layout.data, floor)
        self._pypi = PyPI(layout, self._tools)
        self._npm = Npm(layout, self._tools, self._pypi)
        self._turn = asyncio.Lock()
        self._now: str | None = None
        self._hashes: dict[Path, tuple[tuple[int, int], str]] = {}

    @property
    def busy(self) -> frozenset[str]:
        """Services whose environment is being made."""
        return frozenset({self._now} if self._now else ())

    def folder(self, name: str, package: Package) -> Path:
        """Where the service's environment is, or will be."""
        folder = self._layout.envs / name
        fingerprint = self._fingerprint(name, package)
        held = self._held(name)
        return folder / (held[1] if held and held[0] == fingerprint else fingerprint)

    async def upgrade(self, name: str, package: Package, report: ProgressReport) -> Newer | None:
        """Make the environment that the lock asks for beside the one in use, which stays; None where they are the same
        or none was in use. One that was held back is tried again. Raises PrepareError."""
        (self._layout.envs / name / _HELD).unlink(missing_ok=True)
        fingerprint = self._fingerprint(name, package)
        before = self._newest_besides(name, fingerprint)
        await self.install(name, package, report, in_use=True)
        return Newer(before, fingerprint) if before else None

    def hold(self, name: str, bad: str, good: str) -> None:
        """Go on with an older environment, until the lock changes again or `upgrade` is asked for. Raises OSError."""
        folder = self._layout.envs / name
        (folder / _HELD).write_text(json.dumps([bad, good]))
        shutil.rmtree(folder / bad, ignore_errors=True)

    def _held(self, name: str) -> tuple[str, str] | None:
        """Fingerprint that proved bad, and the one in its place."""
        try:
            bad, good = json.loads((self._layout.envs / name / _HELD).read_text())
        except (OSError, ValueError):
            return None
        return (bad, good) if (self._layout.envs / name / good / _COMPLETE).is_file() else None

    def _newest_besides(self, name: str, fingerprint: str) -> str | None:
        others = [path for path in (self._layout.envs / name).glob(f"*/{_COMPLETE}") if path.parent.name != fingerprint]
        return max(others, key=lambda path: path.stat().st_mtime).parent.name if others else None

    def installed(self, name: str, package: Package) -> bool:
        environment = self.folder(name, package)
        # The link goes dead where the Python it was made with has been removed.
        return (environment / _COMPLETE).is_file() and (environment / "bin" / "python").exists()

    async def install(self, name: str, package: Package, report: ProgressReport, *, in_use: bool = False) -> None:
        """Returns at once where it is installed. `in_use`: replicas run from an older environment, which then stays.
        Cancelled, it ends what it runs; the next call goes on from the cache. Raises PrepareError."""
        if self.installed(name, package):
            return
        if self._turn.locked():
            report("waiting", None, f"{self._now} is being installed")
        async with self._turn:
            if self.installed(name, package):
                return
            self._now = name
            try:
                await self._install(name, package, report, in_use)
            except BaseException as error:
                # Half of an environment is of no use to anybody; what was downloaded stays in the cache.
                await asyncio.to_thread(shutil.rmtree, self.folder(name, package), ignore_errors=True)
                if isinstance(error, OSError):
                    raise PrepareError(f"{name} could not be installed: {error}") from error
                raise
            finally:
                self._now = None

    async def _install(self, name: str, package: Package, report: ProgressReport, in_use: bool) -> None:
        self._tools.check_room()
        report("resolving", 0.0, package.requirement)
        if package.lock is not None and not Path(package.lock).is_file():
            raise PrepareError(f"{name}: its lock {package.lock} is not there")
        environment = self.folder(name, package)
        # What was left half made may look whole to the installer: it goes.
        await asyncio.to_thread(shutil.rmtree, environment, ignore_errors=True)
        environment.parent.mkdir(parents=True, exist_ok=True)
        (self._layout.cache / "uv").mkdir(parents=True, exist_ok=True)
        match package.registry:
            case "pypi":
                await self._pypi.install(name, package, environment, report)
            case "npm":
                await self._npm.install(name, package, environment, report)
            case other:
                raise PrepareError(f"{name}: there is no registry {other!r}; known are pypi and npm")
        # A lock that was only now written changes the fingerprint of nothing: it is not part of it.
        (environment / _COMPLETE).write_text(json.dumps({"requirement": package.requirement}))
        report("installing", 1.0, "done")
        if not in_use:
            await asyncio.to_thread(_remove_others, environment)

    def describe(self) -> Sequence[tuple[str, str, bool, str]]:
        """For `doctor`: name, detail, whether it is well, remedy."""
        try:
            found = ("installer", f"uv is at {uv()}", True, "")
        except PrepareError as error:
            found = ("installer", str(error), False, "./scripts/setup")
        free = disk.free(self._layout.data)
        enough = free >= self._floor
        room = f"{free >> 20} MiB free, nothing is installed below {self._floor >> 20} MiB"
        return [found, ("disk", room, enough, "" if enough else "aihub df; aihub prune")]

    def _fingerprint(self, name: str, package: Package) -> str:
        version = ".".join(map(str, sys.version_info[:2]))
        lock = self._hash(Path(package.lock)) if package.lock else ""
        text = "\n".join((package.registry, package.requirement, version, lock))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _hash(self, path: Path) -> str:
        """Read again only when the file has changed: this is asked at every wake."""
        try:
            found = path.stat()
        except OSError:
            return ""
        state = (found.st_mtime_ns, found.st_size)
        known = self._hashes.get(path)
        if known is None or known[0] != state:
            known = self._hashes[path] = (state, hashlib.sha256(path.read_bytes()).hexdigest())
        return known[1]


def _remove_others(environment: Path) -> None:
    for folder in environment.parent.iterdir():
        if folder != environment and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
