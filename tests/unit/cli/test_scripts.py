"""The scripts that people run: what they refuse, what they would do, and that they are silent when all is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEPLOY = "./scripts/deploy-distributed-ai.sh"


def script(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--env", "prod", "--listen", "127.0.0.1:1"], "--listen is for --env local"),
        (["--env", "local", "--domain", "a.b"], "--domain is for --env dev and prod"),
        (["--env", "dev", "--volumes"], "--volumes goes with --down"),
        (["--env", "moon"], "must be local, dev or prod"),
        (["--phase", "some"], "must be infra, ai, monitor or all"),
        (["--listen"], "--listen wants a value"),
        (["--frobnicate"], "unknown option --frobnicate"),
    ],
)
def test_deploy_refuses_what_it_does_not_know(words: list[str], told: str) -> None:
    said = script(DEPLOY, *words)
    assert said.returncode == 2
    assert told in said.stderr


def test_deploy_says_beforehand_what_it_would_do(tmp_path: Path) -> None:
    data = tmp_path / "none"
    said = script(DEPLOY, "--env", "local", "--phase", "all", "--listen=127.0.0.1:9", "--data", str(data), "--dry-run")
    assert said.returncode == 0
    assert f"would run: aihub up --detach --data {data} --listen 127.0.0.1:9" in said.stdout
    assert not data.exists()
    assert "would run: aihub down" in script(DEPLOY, "--down", "--dry-run").stdout


def test_deploy_takes_paths_as_its_caller_means_them(tmp_path: Path) -> None:
    said = script(str(ROOT / DEPLOY), "--env", "local", "--data", "here", "--dry-run", cwd=tmp_path)
    assert f"--data {tmp_path}/here" in said.stdout


def test_deploy_says_what_becomes_of_volumes_before_it_takes_them() -> None:
    for words, told in ((["--down"], "volumes and .env stay"), (["--down", "--volumes"], "its volumes too")):
        said = script(DEPLOY, "--env", "dev", *words, "--dry-run")
        assert said.returncode == 0
        assert told in said.stdout


@pytest.mark.skipif(shutil.which("docker") is None, reason="it is docker's own words that are read")
def test_deploy_names_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    for words in (["--dry-run"], ["--status"], ["--down"], ["--phase", "infra"]):
        said = script(DEPLOY, "--env", "dev", "--data", str(tmp_path / "d"), *words, DOCKER_HOST="tcp://127.0.0.1:1")
        assert said.returncode == 1
        assert "$DOCKER_HOST is tcp://127.0.0.1:1: nothing answers there." in said.stdout + said.stderr
    assert not (tmp_path / "d").exists()


def test_deploy_down_and_status_where_nothing_runs(tmp_path: Path) -> None:
    assert script(DEPLOY, "--down", "--data", str(tmp_path)).returncode == 0
    assert script(DEPLOY, "--status", "--data", str(tmp_path)).returncode == 3


@pytest.mark.parametrize("name", ["setup", "test", "deploy-distributed-ai.sh"])
def test_every_script_teaches_by_its_help(name: str) -> None:
    said = script(f"./scripts/{name}", "--help")
    assert said.returncode == 0
    assert name.partition(".")[0] in said.stdout


def test_setup_is_silent_where_all_is_done() -> None:
    script("./scripts/setup", "--dev")
    said = script("./scripts/setup")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What set-up reads, without an environment."""
    for name in ("requirements", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def tools(folder: Path, **programs: str) -> str:
    """A PATH with the common tools and these programs (name → shell text), and no Python of the machine."""
    folder.mkdir()
    for name in ("bash", "dirname", "sed", "cat", "sha256sum", "flock", "df", "awk", "rm", "cmp", "cp", "head", "env"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_setup_names_a_python_that_is_too_old_and_the_way_out(checkout: Path) -> None:
    path = tools(checkout / "bin", python3='[ "$1" = -V ] && echo Python 3.9.2; exit 1')
    said = script("./scripts/setup", cwd=checkout, PATH=path, PYTHON="")
    assert said.returncode == 1
    assert "Python 3.9.2" in said.stderr
    assert "PYTHON=" in said.stderr
    assert not (checkout / ".venv").exists()


def test_setup_names_a_disk_that_is_full(checkout: Path) -> None:
    path = tools(checkout / "bin")
    (checkout / "bin" / "df").unlink()
    (checkout / "bin" / "df").write_text("#!/bin/sh\necho head; echo /dev/x 100 93 7 93% /\n")
    (checkout / "bin" / "df").chmod(0o755)
    said = script("./scripts/setup", cwd=checkout, PATH=path, PYTHON=sys.executable)
    assert said.returncode == 1
    assert "7 MB free here" in said.stderr


def test_setup_without_any_pip_says_what_to_install(checkout: Path) -> None:
    path = tools(checkout / "bin")
    bare = checkout / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    broken = checkout / "broken" / "ensurepip"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise SystemExit('as Debian ships it')\n")
    said = script(
        "./scripts/setup", cwd=checkout, PATH=path, PYTHON=str(bare / "bin" / "python"), PYTHONPATH=str(broken.parent)
    )
    assert said.returncode == 1
    assert "apt install python3-pip" in said.stderr
