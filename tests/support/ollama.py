"""A real Ollama with a model of random weights called `tiny`: taken out of the stand-in image, and kept.

`scripts/test-images ollama` builds that image. Its words are noise and its vectors mean nothing, but they are the same
for the same text, and everything around them is real.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

IMAGE = "aihub-test/ollama"
_PROGRAM, _MODELS = "/usr/bin/ollama", "/root/.ollama/models"


class NoOllama(Exception):
    """The message says what would bring one."""


def kept() -> Path:
    """A folder with `bin/ollama` and `models`. Raises NoOllama, CalledProcessError."""
    home = Path(os.environ.get("AIHUB_TEST_CACHE") or "~/.cache/aihub-tests").expanduser()
    home.mkdir(parents=True, exist_ok=True)
    folder = home / "ollama"
    with (home / "ollama.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not folder.exists():
            partial = home / "ollama.partial"
            shutil.rmtree(partial, ignore_errors=True)
            (partial / "bin").mkdir(parents=True)
            _copy(partial)
            partial.rename(folder)
    return folder


def _copy(folder: Path) -> None:
    docker = shutil.which("docker")
    made = subprocess.run([docker, "create", IMAGE], capture_output=True, text=True) if docker else None
    if made is None or made.returncode:
        raise NoOllama(f"the image {IMAGE} is not here: scripts/test-images ollama")
    container = made.stdout.strip()
    try:
        for inside, outside in ((_PROGRAM, folder / "bin" / "ollama"), (_MODELS, folder / "models")):
            subprocess.run(["docker", "cp", f"{container}:{inside}", str(outside)], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rm", container], capture_output=True, check=False)
