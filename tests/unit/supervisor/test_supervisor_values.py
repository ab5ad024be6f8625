"""The small decisions of the supervisor, each on its own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from services.supervisor import envoy, lock, logs, ports, record
from services.supervisor.config import Exit, Listen, SupervisorError
from services.supervisor.ending import sweep
from services.supervisor.proc import Identity, descendants
from services.supervisor.restart import Backoff
from services.supervisor.spawn import spawn


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("9000", "127.0.0.1", 9000),
        ("[::1]:80", "::1", 80),
        ("0.0.0.0:8443", "0.0.0.0", 8443),
    ],
)
def test_an_address_to_listen_on_is_read(text: str, host: str, port: int) -> None:
    assert Listen.parse(text) == Listen(host, port)


@pytest.mark.parametrize(
    "text", ["", "x", "127.0.0.1", "localhost:", "localhost:0", "localhost:70000", "::1:80", ":80"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Listen.parse(text)


def test_the_first_death_costs_no_wait_and_the_next_ones_ever_more() -> None:
    backoff = Backoff()
    waits = [backoff.died(0.1) for _ in range(9)]
    assert waits[:4] == [0.0, 0.1, 0.2, 0.4]
    assert waits[-1] == 5.0
    assert backoff.died(60.0) == 0.0


def test_what_worked_before_it_died_is_never_away_for_long() -> None:
    backoff = Backoff()
    waits = [backoff.died(3.0, worked=True) for _ in range(20)]
    assert waits[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert max(waits) == 1.0


def test_a_process_is_known_by_number_and_start_time() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        identity = Identity.of(child.pid)
        assert identity
        assert identity.alive
        other = Identity(identity.pid, identity.start + 1)
        assert not other.alive
        other.send(signal.SIGKILL)
        assert child.poll() is None
        identity.send(signal.SIGKILL)
        assert identity.wait_gone(5.0)
        identity.send(signal.SIGKILL)


def test_a_record_survives_the_way_to_the_disk_and_a_broken_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    assert record.read(path) == {}
    record.write(path, {"envoy": Identity(3, 4)})
    assert record.read(path) == {"envoy": Identity(3, 4)}
    path.write_text('{"envoy": {"pid": 3}, "scaler": ')
    assert record.read(path) == {}


def test_a_record_is_written_where_nothing_more_fits_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    record.write(path, {"envoy": Identity(3, 4)})
    size = path.stat().st_size
    path.with_suffix(".new").mkdir()  # no file can be made beside it
    known = {name: Identity(4_194_304, 18_446_744_073) for name in ("supervisor", "scaler", "envoy")}
    record.write(path, known)
    assert record.read(path) == known
    record.write(path, {"envoy": Identity(5, 6)})
    assert record.read(path) == {"envoy": Identity(5, 6)}
    assert path.stat().st_size == size


def test_a_record_that_is_not_there_yet_cannot_be_written_without_room(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    path.with_suffix(".new").mkdir()
    with pytest.raises(OSError, match=r"processes\.new"):
        record.write(path, {})


def test_a_lock_names_its_holder_and_falls_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock.holder(path) is None
    held = lock.take(path)
    assert lock.holder(path) == os.getpid()
    with pytest.raises(SupervisorError, match="already runs") as refused:
        lock.take(path)
    assert refused.value.code is Exit.WRONG_STATE
    os.close(held)
    assert lock.holder(path) is None


def test_a_log_above_its_cap_is_kept_once_and_goes_on_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 10)
        assert logs.rotate(path, cap=20)
        writer.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "a.log.1").read_bytes() == b"old\n" * 10
    assert not logs.rotate(path, cap=20)
    assert logs.tail(path, 3) == "new"


def test_a_port_below_1024_and_a_foreign_address_are_explained() -> None:
    assert "so low a port" in ports.explain(Listen("127.0.0.1", 80), 13)
    with pytest.raises(SupervisorError, match="no such address"):
        ports.check_free(Listen("192.0.2.1", 8000))


def test_envoys_word_on_a_taken_address_is_found() -> None:
    line = "[critical] error adding listener: 'cannot bind '127.0.0.1:80': Address already in use'"
    assert envoy.refused_address(line) == "127.0.0.1:80: Address already in use'"
    assert envoy.refused_address("all is well") is None


def test_a_child_is_on_record_before_its_program_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    recorded: list[bool] = []

    def look(identity: Identity) -> None:
        recorded.append(mark.exists())

    child = spawn(
        ["touch", str(mark)], environment={"PATH": "/usr/bin:/bin"}, keep=[], output=tmp_path / "log", record=look
    )
    os.waitpid(child.pid, 0)
    assert recorded == [False]
    assert mark.exists()


def test_a_child_whose_parent_could_not_record_it_never_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    pids: list[int] = []

    def refuse(identity: Identity) -> None:
        pids.append(identity.pid)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        spawn(
            ["touch", str(mark)], environment={"PATH": "/usr/bin:/bin"}, keep=[], output=tmp_path / "log", record=refuse
        )
    os.waitpid(pids[0], 0)
    assert not mark.exists()


def test_a_program_that_does_not_exist_leaves_a_line_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = spawn(["/no/such/program"], environment={}, keep=[], output=log, record=lambda _: None)
    _, status = os.waitpid(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 127
    assert "/no/such/program" in log.read_text()


def test_a_sweep_ends_what_ignores_sigterm_and_what_is_frozen() -> None:
    with subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600 & kill -STOP $!; wait"]) as child:
        while len(descendants(child.pid)) < 1:
            pass
        tree = {one for pid in descendants(child.pid) if (one := Identity.of(pid))}
        assert sweep(child.pid, wait=lambda seconds: None, grace=0.0) == set()
        assert [one for one in tree if one.alive] == []
        child.kill()
