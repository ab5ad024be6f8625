"""Every command against a hub that answers as the real one does, and against none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli.main import _COMMANDS, aihub
from services.supervisor.config import Exit
from tests.support.admin_stand_in import StandIn
from tests.unit.cli.conftest import Commands


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_teaches_by_its_help(name: str) -> None:
    told = CliRunner().invoke(aihub, [name, "--help"])
    assert told.exit_code == 0
    assert "Usage: " in told.output
    if name != "completion":
        assert "--data" in told.output or name in ("check", "adopt", "eject")


@pytest.mark.parametrize(
    "words",
    [
        *(["status"], ["wake", "x"], ["sleep", "x"], ["restart", "x"], ["pin", "x"], ["unpin", "x"], ["explain", "x"]),
        *(["pull", "x"], ["url", "x"], ["open", "x"]),
    ],
)
def test_without_a_hub_a_command_says_so_and_how_to_start_one(run: Commands, words: list[str]) -> None:
    told = run(*words)
    assert told.exit_code == Exit.WRONG_STATE
    assert f"no hub runs on {run.layout.data}" in told.output
    assert "aihub up" in told.output


@pytest.mark.parametrize("verb", ["wake", "sleep", "restart", "pin", "unpin", "explain", "pull", "url", "open"])
def test_a_misspelt_service_is_bad_input_and_the_nearest_is_named(run: Commands, hub: StandIn, verb: str) -> None:
    told = run(verb, "chrom")
    assert told.exit_code == Exit.BAD_INPUT
    assert "Did you mean chroma?" in told.output


def test_a_misspelt_command_is_bad_input_and_the_nearest_is_named() -> None:
    told = CliRunner().invoke(aihub, ["statsu"])
    assert told.exit_code == Exit.BAD_INPUT
    assert "Did you mean 'status'?" in told.output


def test_status_as_json_is_what_the_hub_said(run: Commands, hub: StandIn) -> None:
    told = run("status", "--json")
    assert told.exit_code == 0
    assert json.loads(told.output) == hub.status()


def test_ps_is_status(run: Commands, hub: StandIn) -> None:
    assert run("ps").output == run("status").output


def test_status_shows_what_this_machine_can_run_and_counts_the_rest(run: Commands, hub: StandIn) -> None:
    told = run("status").output
    assert "chroma   ready" in told
    assert "300M" in told
    assert "kong" not in told
    assert "1 more" in told
    assert "kong" in run("status", "--all").output


def test_the_access_table_has_addresses_and_three_lines_to_try_the_quickest_first(run: Commands, hub: StandIn) -> None:
    told = run("status", "--addresses").output
    assert "http://localhost:8000/api/chroma" in told
    assert "http://127.0.0.1:8101" in told
    lines = [line.strip() for line in told.splitlines() if line.strip().startswith("curl")]
    assert len(lines) == 3
    assert lines[0] == "curl http://localhost:8000/api/hello/"
    assert "Not on this machine (`aihub explain NAME` says why): kong" in told
    assert "\ndb " in told
    assert "/api/db" not in told, "the gateway does not answer there"


def test_wake_waits_as_long_as_it_is_told_and_says_the_state(run: Commands, hub: StandIn) -> None:
    told = run("wake", "hello", "--wait", "30s")
    assert told.exit_code == 0
    assert "hello is ready" in told.output
    assert "POST /v1/services/hello/wake?wait=30.0" in hub.asked


def test_a_wake_that_fails_fails_the_command_with_the_reason(run: Commands, hub: StandIn) -> None:
    hub.wakes["hello"] = (
        503,
        {"error": {"code": "failed", "message": "exit code 3: no such file", "retry_after_s": 1}},
    )
    told = run("wake", "hello")
    assert told.exit_code == Exit.FAILED
    assert "exit code 3: no such file" in told.output


def test_a_wake_that_nobody_waits_for_is_no_failure(run: Commands, hub: StandIn) -> None:
    hub.wakes["hello"] = (503, {"error": {"code": "waiting", "message": "still starting", "retry_after_s": 1}})
    told = run("wake", "hello", "--no-wait")
    assert told.exit_code == 0
    assert "hello is waking" in told.output


def test_restart_waits_until_it_is_up_again_unless_told_not_to(run: Commands, hub: StandIn) -> None:
    told = run("restart", "chroma", "--wait", "30s")
    assert told.exit_code == 0
    assert "chroma is ready after" in told.stdout
    assert "POST /v1/services/chroma/restart?wait=30.0" in hub.asked
    told = run("restart", "chroma", "--no-wait")
    assert (told.exit_code, told.stdout) == (0, "chroma is draining\n")


def test_a_restart_that_does_not_come_up_fails_the_command_with_the_reason(run: Commands, hub: StandIn) -> None:
    hub.restarts["chroma"] = (503, {"error": {"code": "failed", "message": "chroma does not come up again: exit 3"}})
    told = run("restart", "chroma")
    assert told.exit_code == Exit.FAILED
    assert "exit 3" in told.output


def test_sleep_tells_what_keeps_a_service_awake(run: Commands, hub: StandIn) -> None:
    hub.in_use["chroma"] = "2 requests in flight"
    told = run("sleep", "chroma")
    assert told.exit_code == Exit.FAILED
    assert "2 requests in flight" in told.output
    assert "it rests when that is over" in told.output
    del hub.in_use["chroma"]
    assert "chroma is stopped" in run("sleep", "chroma", "--to", "stopped").output


def test_pin_sends_seconds_and_without_a_span_none(run: Commands, hub: StandIn) -> None:
    assert run("pin", "chroma", "--for", "8h").exit_code == 0
    assert run("pin", "chroma").exit_code == 0
    assert run("unpin", "chroma").exit_code == 0
    assert hub.asked == [
        "POST /v1/services/chroma/pin?for=28800.0",
        "POST /v1/services/chroma/pin",
        "POST /v1/services/chroma/unpin",
    ]


@pytest.mark.parametrize("verb", ["wake", "sleep", "restart", "explain"])
def test_a_command_that_goes_by_the_catalogue_before_a_fault_says_so_and_is_done(
    run: Commands, hub: StandIn, verb: str
) -> None:
    hub.faulty = True
    told = run(verb, "chroma")
    assert told.exit_code == 0
    assert told.stderr.count("goes by what they said before") == 1
    assert "faults" not in run("status").stderr, "the table has a line of its own"


def test_a_name_that_is_unknown_while_the_files_have_faults_is_told_with_these(run: Commands, hub: StandIn) -> None:
    """It may be the entry that was added with the fault."""
    hub.faulty = True
    told = run("wake", "just-added")
    assert told.exit_code == Exit.BAD_INPUT
    assert told.stderr.count("goes by what they said before") == 1


@pytest.mark.parametrize("span", ["soon", "8x", "-1h", ""])
def test_a_span_that_is_none_is_bad_input(run: Commands, hub: StandIn, span: str) -> None:
    told = run("pin", "chroma", "--for", span)
    assert told.exit_code == Exit.BAD_INPUT
    assert hub.asked == []


def test_pull_of_what_this_machine_cannot_run_fails_with_the_reason(run: Commands, hub: StandIn) -> None:
    assert "hello is installed" in run("pull", "hello").output
    told = run("pull", "kong")
    assert told.exit_code == Exit.FAILED
    assert "has no x-hub.local.command" in told.output


def test_explain_tells_use_and_decisions(run: Commands, hub: StandIn) -> None:
    told = run("explain", "chroma").output
    assert "chroma is ready: why not" in told
    assert "in use: pinned" in told
    assert "paused: unused for 5 m" in told
    assert json.loads(run("explain", "chroma", "--json").output)["use"] == ["pinned"]


def test_url_is_for_programs_or_people_and_without_a_name_the_hubs_own(run: Commands, hub: StandIn) -> None:
    assert run("url", "chroma").output == "http://localhost:8000/api/chroma\n"
    assert run("url", "chroma", "--for", "people").output == "http://chroma.localhost:8000\n"
    assert run("url").output == "http://localhost:8000\n"


@pytest.mark.parametrize("verb", ["url", "open"])
def test_what_speaks_no_http_has_no_address_at_the_gateway(run: Commands, hub: StandIn, verb: str) -> None:
    told = run(verb, "db")
    assert told.exit_code == 2
    assert "db speaks no HTTP" in told.stderr


def test_df_and_prune_ask_a_running_hub(run: Commands, hub: StandIn) -> None:
    assert "chroma   4.0K  5.0G" in run("df").output
    told = run("prune", "--yes", "--cache").output
    assert "kept chroma: it runs" in told
    assert "freed 5.0G (hello)" in told
    assert "1.0G more stay in the download cache" in told
    assert hub.asked[-1] == "POST /v1/prune?cache=1"


def test_without_a_hub_df_counts_and_prune_removes_environments_but_never_data(run: Commands) -> None:
    layout = run.layout
    for folder in (layout.service_data("a"), layout.envs / "a", layout.envs / "b", layout.cache, layout.models):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_bytes(b"x" * 100_000)
    assert json.loads(run("df", "--json").output)["services"]["a"]["env"] >= 100_000
    told = run("prune", "b", "--yes", "--json")
    assert json.loads(told.output)["removed"] == ["b"]
    assert (layout.envs / "a" / "file").exists()
    assert run("prune", "--yes", "--cache").exit_code == 0
    assert not (layout.envs / "a").exists()
    assert not (layout.cache / "file").exists()
    assert (layout.service_data("a") / "file").exists()
    assert (layout.models / "file").exists()


def test_what_the_cache_and_an_environment_share_is_counted_once(run: Commands) -> None:
    cached, installed = run.layout.cache / "wheel", run.layout.envs / "a" / "wheel"
    installed.parent.mkdir()
    cached.write_bytes(b"x" * 1_000_000)
    installed.hardlink_to(cached)
    found = json.loads(run("df", "--json").output)
    assert found["services"]["a"]["env"] >= 1_000_000
    assert found["cache"] < 100_000
    told = json.loads(run("prune", "--yes", "--json").output)
    assert told["freed"] < 100_000
    assert told["cached"] >= 1_000_000
    assert json.loads(run("prune", "--yes", "--cache", "--json").output)["freed"] >= 1_000_000


@pytest.mark.parametrize(
    "words", [["status"], ["df"], ["down"], ["doctor"], ["prune", "-y"], ["logs", "a"], ["up", "-d"]]
)
def test_a_data_folder_that_is_none_is_an_error_without_a_traceback(tmp_path: Path, words: list[str]) -> None:
    # The sockets of a long path stand elsewhere, in the folder for temporary files.
    long = tmp_path / ("long" * 25)
    long.mkdir()
    for file in (tmp_path / "file", long / "file"):
        file.touch()
    for folder in (*(f"{above}/file{below}" for above in (tmp_path, long) for below in ("", "/below")), ""):
        told = CliRunner().invoke(aihub, [*words, "--data", folder])
        assert told.exit_code in (Exit.FAILED, Exit.BAD_INPUT)
        assert isinstance(told.exception, SystemExit)
        assert "rror: " in told.output


@pytest.mark.parametrize("words", [["df"], ["down"], ["doctor"], ["prune", "-y"], ["up", "-d"]])
def test_a_hub_of_another_user_is_an_error_without_a_traceback(
    run: Commands, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.open

    def refused(path: object, *said: int, **more: int) -> int:
        if path == run.layout.lock:
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *said, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refused)
    told = run(*words)
    assert told.exit_code == Exit.FAILED
    assert f"error: {run.layout.data} belongs to another user" in told.output


def test_an_empty_name_is_bad_input(run: Commands, hub: StandIn) -> None:
    assert run("explain", "").exit_code == Exit.BAD_INPUT
    assert hub.asked == []


def test_logs_are_read_without_a_hub_from_their_end(run: Commands) -> None:
    run.layout.service_log("chroma").write_text("".join(f"line {number}\n" for number in range(300)))
    assert run("logs", "chroma", "-n", "2").output == "line 298\nline 299\n"
    told = run("logs", "chrma")
    assert told.exit_code == Exit.BAD_INPUT
    assert "Did you mean chroma?" in told.output


def test_doctor_tells_of_the_machine_and_of_the_hub(run: Commands, hub: StandIn) -> None:
    told = json.loads(run("doctor", "--json").output)["checks"]
    names = [check["name"] for check in told]
    assert {"python", "envoy", "memory", "data folder", "hub", "catalogue"} <= set(names)


def test_down_where_nothing_runs_succeeds_and_says_so(run: Commands) -> None:
    told = run("down")
    assert told.exit_code == 0
    assert "no hub runs on" in told.output


@pytest.mark.parametrize(
    "words",
    [
        ["up", "--listen", "nowhere"],
        ["up", "--catalog", "no-such-file.yml"],
        ["up", "--memory", "much"],
        ["up", "--tls-cert", "/etc/passwd"],
        ["up", "--tls-cert", "/etc/passwd", "--tls-key", "/etc/passwd"],
        ["pin", "chroma", "--for", "0"],
        ["sleep", "chroma", "--to", "death"],
    ],
)
def test_a_bad_option_is_bad_input_before_anything_starts(run: Commands, words: list[str]) -> None:
    assert run(*words).exit_code == Exit.BAD_INPUT


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    told = CliRunner().invoke(aihub, ["completion", shell])
    assert told.exit_code == 0
    assert f"_AIHUB_COMPLETE={shell}_complete" in told.output


def test_the_shell_completes_parts_of_the_hub_files_and_folders(run: Commands, hub: StandIn) -> None:
    def completed(*words: str) -> list[str]:
        env = {
            "COMP_WORDS": " ".join(["aihub", *words]),
            "COMP_CWORD": str(len(words)),
            "_AIHUB_COMPLETE": "bash_complete",
        }
        return CliRunner(env=env).invoke(aihub, prog_name="aihub", complete_var="_AIHUB_COMPLETE").output.split()

    assert completed("logs", "--data", str(run.layout.data), "sc") == ["plain,scaler"]
    assert completed("status", "--data", "/t") == ["dir,/t"]
    assert completed("up", "--catalog", "mine") == ["file,mine"]


def test_a_good_catalogue_is_counted_by_the_files_that_were_named(tmp_path: Path) -> None:
    files = [tmp_path / "one.yml", tmp_path / "two.yml"]
    for file in files:
        file.write_text(f"services: {{{file.stem}: {{image: x}}}}")
    (tmp_path / ".env").write_text("A=b\n")
    assert CliRunner().invoke(aihub, ["check", *map(str, files)]).output == "2 services in 2 files, no faults\n"
    assert CliRunner().invoke(aihub, ["check", str(files[0])]).output == "1 service in 1 file, no faults\n"


def test_a_folder_in_the_place_of_a_catalogue_is_told_as_what_it_is(run: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    told = run("up", "-d", "--catalog", str(folder))
    assert told.exit_code == Exit.BAD_INPUT
    assert f"--catalog {folder} is a folder" in told.output
    assert f"{folder}/compose.yml" in told.output
    assert "it is a folder" in CliRunner().invoke(aihub, ["check", str(folder)]).output
