"""What holds of the repository as a whole: nothing of one machine in it, and its documents tell of what exists."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TEXT_LIMIT = 2_000_000
# Put together here, so that this file does not find itself.
# A container's own /root and /home are no machine of ours.
_HOMES = {str(ROOT), str(Path.home())} - {"/root"}
_MACHINE_PATHS = re.compile("|".join([r"(?<![\w.$}~-])/(?:work|Users)/[\w.-]", *map(re.escape, sorted(_HOMES))]))
_REGISTRY_HOST = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host|https?://[\w.-]*(?:pypi|pythonhosted)")
_LONGEST_MODULE = 400


@cache
def tracked() -> tuple[Path, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return tuple(ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file())


def text(path: Path) -> str:
    return path.read_bytes()[:_TEXT_LIMIT].decode(errors="replace")


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        for number, line in enumerate(text(path).splitlines(), 1)
        if _MACHINE_PATHS.search(line)
    ]
    assert found == []


def test_no_requirements_file_records_where_packages_came_from() -> None:
    files = [path for path in tracked() if path.parent.name in ("requirements", "locks")]
    assert files
    assert [str(path) for path in files if path.suffix in (".txt", ".in") and _REGISTRY_HOST.search(text(path))] == []


def test_every_requirement_is_pinned_by_hash() -> None:
    for path in tracked():
        if path.suffix != ".txt" or path.parent.name != "requirements":
            continue
        logical = text(path).replace("\\\n", " ").splitlines()
        pins = [line for line in logical if line and not line.lstrip().startswith("#")]
        assert pins
        assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == [], path.name


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").iterdir() if path.is_file()))
def test_every_script_may_be_run_and_is_well_formed(script: str) -> None:
    path = ROOT / "scripts" / script
    assert path.stat().st_mode & 0o111
    if "bash" in text(path).partition("\n")[0]:
        subprocess.run(["bash", "-n", str(path)], check=True)


def test_modules_stay_readable() -> None:
    found = {
        str(path.relative_to(ROOT)): text(path).count("\n")
        for path in tracked()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "services")
    }
    assert {name: lines for name, lines in found.items() if lines > _LONGEST_MODULE} == {}


def test_ci_runs_the_readmes_test_command_and_the_checks() -> None:
    ci = text(ROOT / ".ci" / "run").splitlines()
    assert "./scripts/test" in ci
    assert "./scripts/check" in ci
    assert "./scripts/test" in text(ROOT / "README.md")
