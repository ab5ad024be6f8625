"""Environments of packages from PyPI: a venv made by uv, filled from a lock with hashes.

Why a lock of hashes and not a cut-off date given to the resolver: a date fixes which versions there were, but the same
date resolves differently on another Python, takes the resolver's time at every installation, and trusts the registry
with the files' content. A lock is read in milliseconds and refuses a changed file. A service without a lock of its own
(somebody's own catalogue) gets one at its first installation, kept in the hub's state, so the second one is the same.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from services.catalog.model import Package
from services.layout import Layout
from services.scaler.drivers.base import PrepareError
from services.scaler.drivers.process.progress import step
from services.scaler.drivers.process.tool import Tools

Say = Callable[[str, float | None, str], None]
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_PYTHON = re.compile(r"^# python: (\S+)\s*$", re.MULTILINE)
_DOWNLOADED = 0.9
"""Share of an installation that is over when everything is downloaded and unpacked."""


@cache
def uv() -> Path:
    """Raises PrepareError."""
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise PrepareError("uv is not installed beside the hub: run ./scripts/setup") from error


@dataclass(frozen=True, slots=True)
class PyPI:
    layout: Layout
    tools: Tools

    def lock_of(self, name: str, package: Package) -> Path:
        """Where the lock is, or will be once `lock` has made it."""
        return Path(package.lock) if package.lock else self.layout.state / "locks" / f"{name}.txt"

    async def install(self, name: str, package: Package, environment: Path, say: Say) -> None:
        """Raises PrepareError."""
        lock = self.lock_of(name, package)
        if package.lock is None and not _holds(lock, package.requirement):
            await self.resolve(name, package.requirement, lock, say)
        elif not _holds(lock, package.requirement):
            raise PrepareError(
                f"{name}: the lock {lock} does not hold {package.requirement}; make it anew: "
                f"echo '{package.requirement}' | uv pip compile --generate-hashes --no-header --no-annotate - -o {lock}"
            )
        await self.make(name, environment, lock, say)
        await self.fill(name, environment, lock, say)

    async def make(self, name: str, environment: Path, lock: Path, say: Say) -> None:
        wanted = _PYTHON.search(lock.read_text())
        words = [uv(), "venv", "--no-config", "--python", wanted.group(1) if wanted else sys.executable, environment]
        await self._uv(name, words, lambda line: None, lambda: None)

    async def fill(self, name: str, environment: Path, lock: Path, say: Say) -> None:
        total = len(_PINNED.findall(lock.read_text()))
        unpacked = self.layout.cache / "uv" / "archive-v0"
        before = _entries(unpacked)
        at = "resolving", "reading the lock"

        def on_line(line: str) -> None:
            nonlocal at
            if told := step(line):
                at = told
                look()

        def look() -> None:
            phase, detail = at
            ready = min(1.0, (_entries(unpacked) - before) / total) if total else 0.0
            say(phase, _DOWNLOADED if phase == "installing" else ready * _DOWNLOADED, detail)

        words = [
            uv(),
            "pip",
            "sync",
            "--python",
            environment / "bin" / "python",
            "--require-hashes",
            *_torch(lock),
            lock,
        ]
        await self._uv(name, words, on_line, look)

    async def resolve(self, name: str, requirement: str, lock: Path, say: Say) -> None:
        """Write a lock for what has none."""
        say("resolving", None, requirement)
        lock.parent.mkdir(parents=True, exist_ok=True)
        wish, partial = lock.with_suffix(".in"), lock.with_suffix(".partial")
        wish.write_text(f"{requirement}\n")
        partial.unlink(missing_ok=True)
        words: list[str | Path] = [
            uv(),
            "pip",
            "compile",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
            "--no-emit-index-url",
        ]
        words += ["--python", sys.executable, *_cpu_torch(), "--output-file", partial, wish]
        try:
            await self._uv(requirement, words, lambda line: None, lambda: say("resolving", None, requirement))
            head = f"# {_CPU_TORCH}\n" if _cpu_torch() else ""
            partial.write_text(head + partial.read_text())
            partial.replace(lock)
        finally:
            wish.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)

    async def _uv(
        self, what: str, words: list[str | Path], on_line: Callable[[str], None], look: Callable[[], None]
    ) -> None:
        variables = {"UV_CACHE_DIR": str(self.layout.cache / "uv"), "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
        await self.tools.run(what, words, folder=self.layout.envs, variables=variables, on_line=on_line, each_look=look)


_CPU_TORCH = "torch: cpu"


def _cpu_torch() -> list[str | Path]:
    """Builds of torch without CUDA are a tenth as large; without such a GPU they do the same."""
    return [] if Path("/proc/driver/nvidia/version").exists() else ["--torch-backend", "cpu"]


def _torch(lock: Path) -> list[str | Path]:
    """The builds a lock of ours names come from where they were found; other locks decide for themselves."""
    with lock.open() as file:
        return ["--torch-backend", "cpu"] if file.readline().strip() == f"# {_CPU_TORCH}" else []


def _holds(lock: Path, requirement: str) -> bool:
    try:
        pins = {(_plain(name), version) for name, version in _PINNED.findall(lock.read_text())}
    except OSError:
        return False
    wanted = _PINNED.match(requirement)
    # A requirement in another form than NAME==VERSION is uv's to judge.
    return wanted is None or (_plain(wanted.group(1)), wanted.group(2)) in pins


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _entries(folder: Path) -> int:
    try:
        return sum(1 for _ in folder.iterdir())
    except OSError:
        return 0
