"""A Docker engine for the tests: the one that answers already, or one started here and left running.

The engine is a newer Debian suite's on the containerd and runc of this one, which answers `start_interval` and quick
statistics; where that cannot be had, this suite's own. It becomes the machine's main engine, on the usual socket, and
nothing here ever stops it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.engine import debian
from tests.support.engine.debian import unpack

SOCKET = Path("/var/run/docker.sock")
OLDEST = "20.10"
"""The oldest engine that the hub runs on."""
WHICH = "AIHUB_TEST_ENGINE"
OLD = "old"
PLUGINS = Path("/usr/local/lib/docker/cli-plugins")
NEEDED = {"docker": "docker.io", "containerd": "docker.io", "runc": "docker.io", "iptables": "iptables"}
# As many networks as parallel tests like; the engine's own default ends at about thirty.
POOL = "base=10.210.0.0/16,size=24"
_WAIT = 60.0


class NoEngine(Exception):
    """There is no engine and none could be started; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    version: str
    api: str


def folder() -> Path:
    home = os.environ.get("AIHUB_TEST_CACHE") or "~/.cache/aihub-tests"
    return Path(home).expanduser() / "engine"


def answering() -> Engine | None:
    """The engine that the client reaches by DOCKER_HOST, its context or the usual socket."""
    if not shutil.which("docker"):
        return None
    command = ["docker", "version", "--format", "{{json .Server}}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if done.returncode:
        return None
    said = json.loads(done.stdout)
    return Engine(said["Version"], said["ApiVersion"])


def start() -> Engine:
    """An engine that answers; starts one where none does. Idempotent. Raises NoEngine."""
    if found := answering():
        return found
    if host := os.environ.get("DOCKER_HOST"):
        raise NoEngine(f"DOCKER_HOST is {host} and nothing answers there: start that engine, or unset it")
    if os.geteuid() != 0:
        raise NoEngine("no Docker engine answers: start yours, or run this as root, which starts one")
    _install_needed()
    for programs in (_newer(), None):
        if found := _launch(programs):
            return found
    raise NoEngine(f"the engine does not answer after {_WAIT:.0f} s; it says in {_log()}:\n{_last_lines()}")


def _install_needed() -> None:
    missing = sorted({package for program, package in NEEDED.items() if not shutil.which(program)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise NoEngine(f"{', '.join(missing)} is missing: install Docker by your system's own means")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "-qq", "update"], env=quiet, check=False, stdout=subprocess.DEVNULL)
    command = ["apt-get", "-qq", "-y", "install", "--no-install-recommends", *missing]
    done = subprocess.run(command, env=quiet, check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise NoEngine(f"apt-get could not install {', '.join(missing)}")


def _newer() -> Path | None:
    """The folder of the newer suite's engine; None where it cannot be had, since the system's own will do."""
    if not (folder() / "usr/sbin/dockerd").exists():
        try:
            unpack(folder(), "docker.io")
        except (subprocess.CalledProcessError, OSError):
            return None
    return folder()


def _launch(programs: Path | None) -> Engine | None:
    """Start it as a session of its own, so that it outlives this program, and wait until it answers."""
    folder().mkdir(parents=True, exist_ok=True)
    path = _path(programs)
    daemon = shutil.which("dockerd", path=path)
    if daemon is None:
        return None
    # As systemd does it; without it nothing may mount `/` as a slave, which exporters of figures want.
    subprocess.run(["mount", "--make-rshared", "/"], check=False, capture_output=True)
    with _log().open("ab") as log:
        process = subprocess.Popen(
            [daemon, "--host", f"unix://{SOCKET}", "--default-address-pool", POOL, "--log-level", "warn"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_plain(os.environ, path),
            cwd="/",
            start_new_session=True,
        )
    end = time.monotonic() + _WAIT
    while time.monotonic() < end and process.poll() is None:
        if found := answering():
            return found
        time.sleep(0.1)
    if process.poll() is None:
        process.terminate()
        process.wait(30)
    return None


def programs_path() -> str:
    """Where the programs of the engine are looked for that `start` would start, without getting any; with
    AIHUB_TEST_ENGINE=old those of the oldest one that the hub runs on."""
    if os.environ.get(WHICH) == OLD:
        return old_path()
    return _path(folder() if (folder() / "usr/sbin/dockerd").exists() else None)


def old_path() -> str:
    """Where the programs of Engine 20.10 are: this system's own, where they are these, else Debian bookworm's, got
    here. Raises NoEngine."""
    for programs in (None, folder() / "old"):
        path = _path(programs)
        if (daemon := shutil.which("dockerd", path=path)) and f" {OLDEST}." in _said([daemon, "--version"]):
            return path
    try:
        unpack(folder() / "old", "docker.io", suite=debian.OLD)
    except (subprocess.CalledProcessError, OSError) as error:
        raise NoEngine(f"Docker Engine {OLDEST} cannot be had: {error}") from error
    return _path(folder() / "old")


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout


def _path(programs: Path | None) -> str:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if programs:
        path = f"{programs}/usr/sbin:{programs}/usr/bin:{programs}/usr/libexec/docker:{path}"
    return path


def _plain(environ: Mapping[str, str], path: str) -> dict[str, str]:
    """No variable of this machine's own goes into the engine, apart from the way to other hosts."""
    kept = {key: value for key, value in environ.items() if key.lower().endswith("_proxy")}
    return {**kept, "PATH": path, "HOME": environ.get("HOME", "/root")}


def _log() -> Path:
    return folder() / "dockerd.log"


def _last_lines(count: int = 12) -> str:
    text = _log().read_text(errors="replace") if _log().exists() else ""
    return "\n".join(text.splitlines()[-count:])
