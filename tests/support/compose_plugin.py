"""The real compose, as judge of what a file means: where it is, how it is fetched, how it is asked.

Its `config` needs no Docker. The package comes from a newer Debian suite than the system's, by lists and a cache of
its own, so nothing of the system's package state changes: `python -m tests.support.compose_plugin` fetches it once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SUITE = "sid"
PACKAGE = "docker-compose"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
COMMAND = "python -m tests.support.compose_plugin"
_INSIDE = Path("usr/libexec/docker/cli-plugins/docker-compose")


class Refused(Exception):
    """Compose did not take the file; the message is its own."""


def folder() -> Path:
    home = os.environ.get("AIHUB_TEST_CACHE") or "~/.cache/aihub-tests"
    return Path(home).expanduser() / "compose"


def plugin() -> Path:
    """The binary. Raises FileNotFoundError with the command that fetches it."""
    path = folder() / _INSIDE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `{COMMAND}`")
    return path


def fetch() -> Path:
    """Get the package and unpack it; does nothing where that is done. Raises CalledProcessError."""
    path = folder() / _INSIDE
    if path.exists():
        return path
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder()) as work:
        (Path(work) / "lists" / "partial").mkdir(parents=True)
        (Path(work) / "cache" / "archives" / "partial").mkdir(parents=True)
        sources = Path(work) / "sources.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {_mirror()} {SUITE} main\n")
        options = {
            "Dir::Etc::sourcelist": str(sources),
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": f"{work}/lists",
            "Dir::Cache": f"{work}/cache",
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",
            "APT::Sandbox::User": "root",
        }
        arguments = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        subprocess.run(["apt-get", *arguments, "-qq", "update"], check=True)
        subprocess.run(["apt-get", *arguments, "-qq", "download", PACKAGE], check=True, cwd=work)
        archive = next(Path(work).glob(f"{PACKAGE}_*.deb"))
        # Never into `/`: an old package's /lib would replace the link of a merged root.
        subprocess.run(["dpkg", "-x", str(archive), str(folder())], check=True)
    return path


def _mirror() -> str:
    """The one the system uses for its own packages."""
    for source in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if source.exists():
            for line in source.read_text().splitlines():
                words = line.split()
                if words[:1] in (["URIs:"], ["deb"]) and "security" not in line:
                    return next(word for word in words[1:] if word.startswith("http"))
    return "http://deb.debian.org/debian"


def config(files: Sequence[str], cwd: Path, environ: Mapping[str, str], profiles: Sequence[str] = ("*",)) -> Any:
    """What compose makes of the files, as its JSON. Raises Refused."""
    command = [str(plugin())]
    for file in files:
        command += ["-f", file]
    for profile in profiles:
        command += ["--profile", profile]
    done = subprocess.run(
        [*command, "config", "--format", "json"], cwd=cwd, env=dict(environ), capture_output=True, text=True, timeout=20
    )
    if done.returncode:
        raise Refused(done.stderr.strip())
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
