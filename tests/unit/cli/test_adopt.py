"""`aihub adopt`, `eject` and `check --driver docker`, as somebody at a terminal or a script has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.main import aihub
from services.supervisor.config import Exit
from tests.support.admin_stand_in import StandIn
from tests.unit.cli.conftest import Commands

SHOP = """
services:
  web: {image: x, ports: ["127.0.0.1:8080:80"], depends_on: [db]}
  db: {image: "postgres:16"}
  worker: {image: x}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "compose.yml"
    path.write_text(SHOP)
    return path


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(aihub, [str(word) for word in words])


def test_adopt_shows_what_it_takes_and_leaves_and_the_difference_and_asks(file: Path) -> None:
    told = _run("adopt", file)
    assert "lazy: web, db\nleft as it is: worker (it has no port" in told.output
    assert "+    ports: !reset []" in told.output
    assert "Say --yes to do it without asking." in told.output
    assert told.exit_code == Exit.FAILED
    assert list(file.parent.iterdir()) == [file]


def test_adopt_and_eject_do_it_with_yes_and_say_what_comes_next(file: Path) -> None:
    told = _run("adopt", file, "--yes")
    assert told.exit_code == 0
    assert f"aihub up --driver docker --catalog {file}" in told.output
    assert "says so already" in _run("adopt", file, "--yes").output
    told = _run("eject", file)
    assert told.exit_code == 0
    assert f"removed {file.with_name('compose.override.yml')}" in told.output
    assert list(file.parent.iterdir()) == [file]


def _up(run: Commands, file: Path, *words: str) -> str:
    """What `up` says before it finds that a hub runs already."""
    told = run("up", "--detach", "--driver", "docker", "--catalog", str(file), *words)
    assert told.exit_code == Exit.WRONG_STATE
    return told.output


def test_up_says_where_plain_compose_knows_nothing_of_what_is_lazy(file: Path, run: Commands, hub: StandIn) -> None:
    told = _up(run, file, "--lazy", "all")
    assert f"note: plain `docker compose up -d` in {file.parent} knows nothing of that: it starts web, db too" in told
    assert f"`aihub adopt {file}` lets it know" in told
    assert f"`aihub adopt {file} --lazy web` lets it know" in _up(run, file, "--lazy", "web")


def test_up_says_nothing_of_plain_compose_where_that_knows(file: Path, run: Commands, hub: StandIn) -> None:
    assert _run("adopt", file, "--yes").exit_code == 0
    assert "note:" not in _up(run, file, "--lazy", "all")
    file.with_name("compose.override.yml").unlink()
    file.write_text(SHOP.replace("image: x, ports", "image: x, profiles: [on-demand], ports"))
    assert "it starts db too" in _up(run, file, "--lazy", "all")
    assert "note:" not in _up(run, file, "--lazy", "web")


def test_eject_shows_what_would_be_lost_and_does_it_only_with_yes(file: Path) -> None:
    _run("adopt", file, "--yes")
    override = file.with_name("compose.override.yml")
    override.write_text(override.read_text() + "# mine\n")
    told = _run("eject", file)
    assert told.exit_code == Exit.FAILED
    assert "-# mine" in told.output
    assert override.exists()
    assert _run("eject", file, "--yes").exit_code == 0
    assert not override.exists()


def test_a_file_that_compose_must_be_told_of_is_told_with_its_override(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(SHOP)
    assert f"docker compose -f {file} -f {tmp_path}/mine.override.yml" in _run("adopt", file, "--yes").output


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["adopt", "FILE", "--lazy", "wbe"], "no service is called 'wbe' (did you mean 'web'?)"),
        (["adopt", "FILE", "--lazy", "worker"], "worker cannot be lazy: it has no port"),
        (["adopt", "FILE", "--lazy", ""], "neither all nor names"),
        (["eject", "FILE"], "is not adopted"),
        (["check", "FILE", "--lazy", "all"], "--lazy is about containers: say --driver docker with it"),
        (["check", "FILE", "--project-name", "x"], "--project-name is about containers"),
        (["check", "FILE", "--driver", "docker", "--project-name", "X"], "'X' is no name of a compose project"),
        (["check", "FILE", "FILE", "--driver", "docker", "--project-name", "x"], "one file beside --project-name x"),
        (["up", "--catalog", "FILE", "--driver", "docker", "--lazy", "wbe"], "did you mean 'web'?"),
        (["up", "--catalog", "FILE", "--lazy", "web"], "--lazy is about containers"),
        (["up", "--catalog", "FILE", "--driver", "podman"], "'podman' is not one of 'process', 'docker'"),
    ],
)
def test_what_cannot_be_is_bad_input(file: Path, words: list[str], wanted: str) -> None:
    told = _run(*(str(file) if word == "FILE" else word for word in words))
    assert told.exit_code == Exit.BAD_INPUT
    assert wanted in told.output


def test_check_shows_the_choice(file: Path) -> None:
    told = _run("check", file, "--driver", "docker", "--lazy", "all")
    assert told.exit_code == 0
    assert told.output.startswith("lazy: web, db\nleft as it is: worker (")
    assert told.output.endswith("3 services in 1 project, no faults\n")
    said = json.loads(
        _run("check", file, "--driver", "docker", "--lazy", "web", "--project-name", "p", "--json").output
    )
    assert (said["lazy"], sorted(said["left"]), said["projects"]) == (["web"], ["db", "worker"], ["p"])


def test_without_a_driver_a_file_is_read_for_this_machine(file: Path) -> None:
    assert "5432" not in _run("check", file).output
    assert _run("check", file, "--driver", "docker").exit_code == 0
