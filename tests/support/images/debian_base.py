"""Stands for debian:bookworm-slim: a root file system by debootstrap from the archive that this machine uses itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.engine.debian import mirror

SUITE = "bookworm"
# Counts up when what is made here changes.
DIGEST = "1"
_LEFT_OUT = ("doc", "man", "locale", "info")
_SETTINGS = {
    "apt/apt.conf.d/90-small": (
        'APT::Install-Recommends "false";\nAcquire::Languages "none";\nAcquire::Check-Valid-Until "false";\n'
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
    ),
    "dpkg/dpkg.cfg.d/90-small": "".join(
        f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "man", "info", "locale")
    ),
    "resolv.conf": "",
}


class CannotMake(Exception):
    """The message says what is missing."""


def make(tag: str, label: str) -> None:
    """Make the image; needs root for the file system's owners. Raises CannotMake, CalledProcessError."""
    if os.geteuid() != 0:
        raise CannotMake(f"{tag} is not here: `docker pull {tag}`, or run this as root, which makes one")
    if not shutil.which("debootstrap"):
        _install()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        command = ["debootstrap", "--variant=minbase", SUITE, str(root), mirror()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        _thin_out(root)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packed:
            changes = ["--change", 'CMD ["bash"]', "--change", f"LABEL {label}={DIGEST}"]
            command = ["docker", "import", *changes, "-", tag]
            subprocess.run(command, stdin=packed.stdout, check=True, capture_output=True)


def _install() -> None:
    subprocess.run(["apt-get", "-qq", "update"], check=False, stdout=subprocess.DEVNULL)
    done = subprocess.run(["apt-get", "-qq", "-y", "install", "debootstrap"], stdout=subprocess.DEVNULL)
    if done.returncode:
        raise CannotMake("debootstrap is missing and apt-get could not install it")


def _thin_out(root: Path) -> None:
    for file in root.glob("var/cache/apt/archives/*.deb"):
        file.unlink()
    for folder in (root / "var/lib/apt/lists", *(root / "usr/share" / name for name in _LEFT_OUT)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for name, text in _SETTINGS.items():
        path = root / "etc" / name
        path.unlink(missing_ok=True)
        path.write_text(text)
