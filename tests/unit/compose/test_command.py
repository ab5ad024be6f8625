"""How compose is found and ended, with small programs in its place; what it does is held by the contract tests."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from services.catalog.model import Stack
from services.compose.command import ComposeCli, ComposeError, own_words

Install = Callable[..., dict[str, str]]
GOOD = 'case "$*" in *"version --format json") echo \'{"version":"v2.40.3"}\'; exit 0;; esac\n'


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """`install(docker="script")` → an environment whose PATH has these programs and those of the system."""

    def lay(**programs: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, script in programs.items():
            path = folder / name.replace("_", "-")
            path.write_text(f"#!/bin/sh\n{script}")
            path.chmod(0o755)
        return {"PATH": f"{folder}:{tmp_path / 'nothing'}"}

    return lay


def _cli(folder: Path, environ: dict[str, str], override: Path | None = None) -> ComposeCli:
    return ComposeCli(Stack("shop", (f"{folder}/compose.yml", f"{folder}/more.yml"), str(folder)), override, environ)


@pytest.mark.parametrize(
    ("programs", "wanted"),
    [
        ({}, "there is no program docker on the PATH; it is needed with its compose plugin, version 2.24 or newer"),
        ({"docker": "echo unknown >&2; exit 1"}, "has no compose plugin; version 2.24 or newer is needed: https://"),
        ({"docker": 'echo \'{"version":"v2.23.3"}\''}, "docker compose is of version v2.23.3; version 2.24 or newer"),
        ({"docker_compose": 'echo \'{"version":"1.29.2"}\''}, "docker compose is of version 1.29.2; version 2.24"),
    ],
)
async def test_a_compose_that_is_missing_or_too_old_is_told_with_its_remedy(
    tmp_path: Path, install: Install, programs: dict[str, str], wanted: str
) -> None:
    with pytest.raises(ComposeError, match=r"docs\.docker\.com/compose/install") as caught:
        await _cli(tmp_path, install(**programs)).hashes()
    assert wanted in str(caught.value)


async def test_compose_alone_does_where_the_plugin_is_missing(tmp_path: Path, install: Install) -> None:
    environ = install(docker="exit 1", docker_compose=GOOD + "echo web 1234")
    assert await _cli(tmp_path, environ).hashes() == {"web": "1234"}


async def test_compose_sees_the_project_as_it_was_read(tmp_path: Path, install: Install) -> None:
    environ = install(docker=GOOD + f'echo "$@" >> {tmp_path}/said')
    override = tmp_path / "override.yml"
    cli = _cli(tmp_path, environ, override)
    await cli.create("web", replicas=2)
    override.touch()
    await cli.up(["a", "b"])
    create, up = (tmp_path / "said").read_text().splitlines()
    project = (
        f"--project-name shop --project-directory {tmp_path} --file {tmp_path}/compose.yml --file {tmp_path}/more.yml"
    )
    assert f"{project} --profile * up --no-start --no-deps --scale web=2 --no-recreate web" in create
    assert f"{project} --file {override} up --detach --no-recreate a b" in up


async def test_its_own_words_are_passed_on_without_its_warnings(tmp_path: Path, install: Install) -> None:
    script = "echo 'time=\"x\" level=warning msg=\"old\"' >&2; echo 'no such image: web' >&2; exit 1"
    with pytest.raises(ComposeError) as caught:
        await _cli(tmp_path, install(docker=GOOD + script)).create("web")
    assert str(caught.value) == "docker compose up, project shop: no such image: web"


def test_a_failure_without_words_says_how_it_ended() -> None:
    assert own_words("", 3) == "failed with code 3 and said nothing"
    assert own_words("\n", -9) == "ended by SIGKILL"
    assert own_words('time="t" level=fatal msg="bad file"', 1) == "bad file"


async def test_cancelling_ends_compose_and_what_it_started(tmp_path: Path, install: Install) -> None:
    """The client starts the plugin as a child of its own; here a shell that starts another one."""
    os.mkfifo(tmp_path / "pids")
    script = f"/bin/sh -c 'echo $$ $PPID > {tmp_path}/pids; while :; do /bin/sleep 60; done'; exit 1"
    task = asyncio.create_task(_cli(tmp_path, install(docker=GOOD + script)).create("web"))
    pids = (await asyncio.to_thread((tmp_path / "pids").read_text)).split()
    lives = [os.pidfd_open(int(pid)) for pid in pids]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(lives) == 2
    for life in lives:
        assert select.select([life], [], [], 5.0)[0], "it runs on"
        os.close(life)


async def test_a_start_that_is_cut_off_leaves_nothing_behind(tmp_path: Path, install: Install) -> None:
    environ = install(docker=GOOD + f"echo $$ >> {tmp_path}/pids; exec /bin/sleep 60")
    cli = _cli(tmp_path, environ)
    for delay in range(20):
        task = asyncio.create_task(cli.create("web"))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    for pid in (tmp_path / "pids").read_text().split() if (tmp_path / "pids").exists() else ():
        assert not _runs(pid)


async def test_what_changes_a_project_runs_one_after_another(tmp_path: Path, install: Install) -> None:
    """Two at once would both make the network."""
    script = f"mkdir {tmp_path}/held || exit 7; /bin/sleep 0.1; rmdir {tmp_path}/held"
    environ = install(docker=GOOD + script)
    environ["PATH"] += ":/usr/bin:/bin"
    cli = _cli(tmp_path, environ)
    await asyncio.gather(*(cli.create(f"s{number}") for number in range(4)))


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
