"""Set-up from a clean checkout, with nothing but a Python and its pip, into an environment that works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.network, pytest.mark.timeout(300)]


def plain_pythons() -> list[str]:
    """The Python that the tests' own environment was made from, and the system's."""
    found = [Path(sys.base_prefix, "bin", "python3"), Path("/usr/bin/python3")]
    return [str(one) for one in dict.fromkeys(found) if one.exists() and good(one)]


def good(python: Path) -> bool:
    program = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", program], capture_output=True).returncode == 0


@pytest.mark.parametrize("python", plain_pythons())
def test_a_clean_checkout_becomes_a_hub_that_can_be_started(tmp_path: Path, python: str) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode)
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["PYTHON"] = python

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)

    made = run("scripts/setup")
    assert made.returncode == 0, made.stderr
    again = run("scripts/setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    version = run(".venv/bin/aihub", "--version")
    assert version.stdout.startswith("aihub "), version.stderr
    envoy = run(".venv/bin/python", "-c", "from services.supervisor.envoy import find_binary; print(find_binary())")
    assert envoy.stdout.strip() == str(tmp_path / ".venv/opt/envoy/envoy/_bin/envoy")
    assert "version:" in run(envoy.stdout.strip(), "--version").stdout
