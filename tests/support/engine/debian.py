"""Packages of another Debian suite than the system's, unpacked into a folder: what they hold runs beside the system's.

Lists and cache are of their own, so nothing of the system's package state changes. The archive is the one that the
system's own sources name.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

SUITE = "sid"
OLD = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpack(folder: Path, *packages: str, suite: str = SUITE) -> None:
    """Get the packages, none of their dependencies, and unpack them into `folder`. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        options = _options(Path(work), suite)
        subprocess.run(["apt-get", *options, "-qq", "update"], check=True)
        subprocess.run(["apt-get", *options, "-qq", "download", *packages], check=True, cwd=work)
        for archive in sorted(Path(work).glob("*.deb")):
            # Never into `/`: an old package's /lib would replace the link of a merged root.
            subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)


def _options(work: Path, suite: str) -> list[str]:
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "cache" / "archives" / "partial").mkdir(parents=True)
    sources = work / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": str(sources),
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": f"{work}/lists",
        "Dir::Cache": f"{work}/cache",
        "Acquire::Languages": "none",
        "Acquire::Check-Valid-Until": "false",
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def mirror() -> str:
    """The archive that the system uses for its own packages."""
    for source in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if source.exists():
            for line in source.read_text().splitlines():
                words = line.split()
                if words[:1] in (["URIs:"], ["deb"]) and "security" not in line:
                    return next(word for word in words[1:] if word.startswith("http"))
    return "http://deb.debian.org/debian"
