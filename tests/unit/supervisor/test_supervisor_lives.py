"""The supervisor over its life, with the real Envoy and a scaler that speaks its protocol."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.supervisor import lock, proc, record
from services.supervisor.config import Exit
from services.supervisor.proc import Identity
from tests.support.ports import free_port
from tests.unit.supervisor.hub import Hub

pytestmark = [pytest.mark.process, pytest.mark.envoy]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    data = tmp_path / "data"
    data.mkdir()
    one = Hub(data, free_port())
    yield one
    one.clean()


def test_comes_up_serves_and_ends_without_a_trace(hub: Hub) -> None:
    hub.up()
    parts = hub.parts()
    assert len(parts) == 3
    assert hub.get() == 200

    assert hub.end() == Exit.OK

    assert [one for one in parts if one.alive] == []
    assert [path.name for path in hub.layout.run.iterdir() if path.is_socket()] == []
    assert not hub.layout.processes.exists()
    assert lock.holder(hub.layout.lock) is None


def test_a_second_hub_on_the_same_data_is_refused_and_told_who_runs(hub: Hub) -> None:
    hub.up()
    first = hub.process
    second = hub.start(port=free_port())
    assert second.wait(10) == Exit.WRONG_STATE
    assert first
    assert f"already runs on {hub.data} (pid {first.pid})" in hub.output
    assert hub.get() == 200
    hub.process = first


def test_a_taken_port_is_refused_with_its_holder_and_a_way_out(hub: Hub) -> None:
    with socket.create_server(("127.0.0.1", hub.port)):
        assert hub.start().wait(10) == Exit.PORT
    assert f"is taken by pid {os.getpid()}" in hub.output
    assert f"--listen 127.0.0.1:{hub.port + 1}" in hub.output
    assert not hub.layout.processes.exists()


def test_a_faulty_catalogue_ends_the_start_with_its_whole_report(hub: Hub) -> None:
    (hub.data / "fault").write_text("two faults\n  one\n  two\n")
    assert hub.start().wait(10) == Exit.BAD_INPUT
    assert "two faults\n  one\n  two\n" in hub.output


def test_a_scaler_that_cannot_start_is_explained_by_its_log(hub: Hub) -> None:
    (hub.data / "die").touch()
    assert hub.start().wait(10) == Exit.FAILED
    assert "exit code 9" in hub.output
    assert "nothing will come of this" in hub.output


def test_an_envoy_that_cannot_have_its_address_ends_the_start_with_the_address_and_the_scaler_too(hub: Hub) -> None:
    (hub.data / "muddle").touch()
    hub.start()
    assert hub.process
    assert hub.process.wait(10) == Exit.PORT
    assert f"Envoy could not listen on 203.0.113.1:{hub.port}" in hub.output
    assert "Traceback" not in hub.output
    assert proc.descendants(hub.process.pid) == set()


def test_a_record_that_cannot_be_written_does_not_end_a_hub_that_serves(hub: Hub) -> None:
    hub.up()
    before = hub.part("scaler")
    # Folders stand where the record would be written, anew or over the old one: no user, root neither, can write those.
    blockers = [hub.layout.processes.with_suffix(".new"), hub.layout.processes]
    hub.layout.processes.unlink()
    for blocker in blockers:
        blocker.mkdir()
    before.send(signal.SIGKILL)
    hub.eventually(lambda: "cannot start the scaler again just now" in hub.output)
    assert hub.get() == 200
    for blocker in blockers:
        blocker.rmdir()
    hub.eventually(lambda: hub.changed("scaler", before) and asks(hub))


def test_a_killed_scaler_is_back_at_once_and_a_caller_in_between_is_answered(hub: Hub) -> None:
    hub.up()
    before = hub.part("scaler")
    assert hub.ask_scaler() == before.pid
    answers: list[int] = []
    os.kill(before.pid, signal.SIGSTOP)
    hub.eventually(lambda: ") T " in Path(f"/proc/{before.pid}/stat").read_text())
    caller = threading.Thread(target=lambda: answers.append(hub.ask_scaler()))
    caller.start()
    before.send(signal.SIGKILL)
    hub.eventually(lambda: hub.changed("scaler", before), seconds=2.0)
    # The queue that the caller waited in is the supervisor's: it was not lost with the scaler.
    caller.join(10)
    assert answers == [hub.part("scaler").pid]


def test_a_killed_envoy_is_back_and_the_scaler_is_left_alone(hub: Hub) -> None:
    hub.up()
    before, scaler = hub.part("envoy"), hub.part("scaler")
    before.send(signal.SIGKILL)
    hub.eventually(lambda: hub.changed("envoy", before), seconds=2.0)
    hub.eventually(lambda: answers(hub))
    assert hub.part("scaler") == scaler


def test_after_kill_9_of_the_supervisor_the_next_one_takes_over(hub: Hub) -> None:
    hub.up()
    assert hub.process
    before = hub.parts()
    hub.process.kill()
    hub.process.wait()
    assert hub.get() == 200, "without its supervisor the hub still serves"

    hub.up()

    assert [one for one in before if one.alive] == []
    assert hub.get() == 200
    assert hub.end() == Exit.OK


@pytest.mark.parametrize("milliseconds", [40, 60, 80, 100, 120, 140, 170, 200, 250])
def test_kill_9_at_any_moment_of_the_start_leaves_nothing_that_the_next_life_does_not_end(
    hub: Hub, milliseconds: int
) -> None:
    with subprocess.Popen(["sleep", str(milliseconds / 1000)]) as moment:
        first = hub.start()
        moment.wait()
    first.kill()
    first.wait()
    hub.up()
    parts = {one.pid for one in hub.parts()}
    assert {pid for pid in proc.pids() if str(hub.data) in proc.command_line(pid)} == parts
    assert hub.end() == Exit.OK
    assert {pid for pid in proc.pids() if str(hub.data) in proc.command_line(pid)} == set()


def test_what_is_not_ours_is_never_ended_though_its_number_stands_in_the_record(hub: Hub) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        start = Identity.of(bystander.pid)
        assert start
        hub.layout.make()
        record.write(hub.layout.processes, {"envoy": Identity(bystander.pid, start.start - 1)})
        hub.up()
        assert bystander.poll() is None
        bystander.kill()


def test_a_program_that_lost_its_parent_ends_with_the_hub(hub: Hub) -> None:
    (hub.data / "stray").touch()
    hub.up()
    stray = Identity.of(int((hub.data / "stray.pid").read_text()))
    assert stray
    assert hub.process
    assert stray.pid in proc.descendants(hub.process.pid)
    assert hub.end() == Exit.OK
    assert not stray.alive


def test_a_second_signal_hurries_a_scaler_that_will_not_go(hub: Hub) -> None:
    (hub.data / "deaf").touch()
    hub.up()
    parts = hub.parts()
    assert hub.process
    hub.process.send_signal(signal.SIGTERM)
    hub.eventually(lambda: "ending the hub" in hub.output)
    assert hub.process.poll() is None
    assert hub.end(10) == Exit.OK
    assert [one for one in parts if one.alive] == []


def test_a_scaler_that_dies_again_and_again_is_started_ever_less_often(hub: Hub) -> None:
    hub.up()
    (hub.data / "die").touch()
    hub.part("scaler").send(signal.SIGKILL)
    hub.eventually(lambda: "starting it again in 0.2 s" in hub.output)
    assert hub.get() == 200, "Envoy goes on meanwhile"
    (hub.data / "die").unlink()
    hub.eventually(lambda: asks(hub))


def test_a_catalogue_that_turns_bad_while_the_hub_runs_does_not_end_it(hub: Hub) -> None:
    hub.up()
    (hub.data / "fault").write_text("a fault in line 3\n")
    hub.part("scaler").send(signal.SIGKILL)
    hub.eventually(lambda: "a fault in line 3" in hub.output)
    assert hub.get() == 200
    (hub.data / "fault").unlink()
    hub.eventually(lambda: asks(hub))


def answers(hub: Hub) -> bool:
    try:
        return hub.get() == 200
    except OSError:
        return False


def asks(hub: Hub) -> bool:
    try:
        return hub.ask_scaler(0.2) > 0
    except OSError:
        return False
