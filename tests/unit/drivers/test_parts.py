"""The parts of the process driver that can be looked at alone."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from services import disk
from services.scaler.drivers.docker.records import Record as Container
from services.scaler.drivers.grudges import Grudges
from services.scaler.drivers.process import ending, logs, progress
from services.scaler.drivers.process.ports import NoPort, PortLeases, outside_ephemeral
from services.scaler.drivers.process.proc import Identity, Marks, ProcessTable, lives, read
from services.scaler.drivers.process.records import Phase, Record, Records
from services.scaler.drivers.records import RecordFolder
from services.scaler.drivers.usage import Usage
from tests.support.ports import free_port


@pytest.mark.parametrize(
    ("ephemeral", "expected"),
    [
        ((32768, 60999), range(20000, 32768)),
        ((1024, 40000), range(40001, 65536)),
        ((1024, 65535), range(10000, 20000)),
        ((15000, 20500), range(20501, 65536)),
    ],
)
def test_ports_are_taken_from_where_the_kernel_gives_none_away(ephemeral: tuple[int, int], expected: range) -> None:
    assert outside_ephemeral(ephemeral) == expected


def test_a_leased_or_taken_port_is_not_issued_and_one_that_came_back_is_issued_last(tmp_path: Path) -> None:
    base = free_port()
    ports = range(base, base + 3)
    leases = PortLeases(tmp_path, ports)
    first = leases.lease("a", ["main"])["main"]
    second = leases.lease("b", ["main"])["main"]
    leases.end("a")
    third = leases.lease("c", ["main"])["main"]
    assert {first, second, third} == set(ports)
    with socket.create_server(("127.0.0.1", first)), pytest.raises(NoPort, match=f"between {base}"):
        leases.lease("d", ["main"])
    assert leases.lease("d", ["main"]) == {"main": first}
    leases.end("d")
    leases.hold("adopted", [first])
    with pytest.raises(NoPort):
        leases.lease("e", ["main"])


def test_two_hubs_begin_at_different_ports(tmp_path: Path) -> None:
    issued = {PortLeases(tmp_path / str(number)).lease("a", ["main"])["main"] for number in range(8)}
    assert len(issued) > 1


def record(**fields: object) -> Record:
    made = {"replica": "svc-1", "service": "svc", "digest": "", "phase": Phase.READY, "ports": {"main": 1}, "boot": "b"}
    return Record(**{**made, **fields})  # type: ignore[arg-type]


def test_records_come_back_as_they_were_and_broken_ones_are_dropped(tmp_path: Path) -> None:
    records = Records(tmp_path)
    whole = record(pid=7, start=9, cgroup="/sys/fs/cgroup/x", log_offset=3)
    records.write(whole)
    for name, text in (("torn", "{"), ("old", json.dumps({"replica": "old"})), ("list", "[]")):
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "svc-2.partial").write_text("{")
    assert list(records.load()) == [whole]
    assert [path.name for path in tmp_path.iterdir()] == ["svc-1.json"]
    records.remove("svc-1")
    records.remove("svc-1")
    assert list(records.load()) == []


def test_a_record_of_another_driver_stays_for_whoever_ends_the_hub(tmp_path: Path) -> None:
    RecordFolder(tmp_path, Container).write(Container("svc-1", "svc", "d", Phase.READY, "c0ffee", "svc-1"))
    assert list(Records(tmp_path).load()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["svc-1.json"]


def test_a_replica_id_cannot_leave_the_folder_of_records(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no replica id"):
        Records(tmp_path / "inner").write(record(replica="../outside"))


def test_a_log_keeps_three_older_ones_and_its_programs_go_on_writing(tmp_path: Path) -> None:
    path = tmp_path / "svc.log"
    handle = logs.open_log(path, "svc-1")
    try:
        for number in range(5):
            os.write(handle, f"{number}\n".encode() * 100)
            assert logs.rotate(path, bound=50)
            assert logs.size(path) == 0
        os.write(handle, b"last\n")
    finally:
        os.close(handle)
    assert path.read_text() == "last\n"
    kept = [Path(f"{path}.{number}").read_text().splitlines()[-1] for number in (1, 2, 3)]
    assert kept == ["4", "3", "2"]
    assert not Path(f"{path}.4").exists()
    assert not logs.rotate(path)


def test_where_there_is_no_disk_left_older_logs_go_first(tmp_path: Path) -> None:
    path = tmp_path / "svc.log"
    path.write_text("x" * 100)
    Path(f"{path}.1").write_text("older")
    logs.rotate(path, bound=50, keep=False)
    assert [one.name for one in tmp_path.iterdir()] == ["svc.log"]
    assert path.stat().st_size == 0


def test_last_lines_are_those_of_this_replica_alone(tmp_path: Path) -> None:
    path = tmp_path / "svc.log"
    path.write_text("of an earlier one\n")
    since = logs.size(path)
    os.close(logs.open_log(path, "svc-2"))
    with path.open("a") as file:
        file.write("\n".join(map(str, range(20))))
    assert logs.last_lines(path, since, count=3) == ["17", "18", "19"]
    assert logs.last_lines(path, 10_000)[-1] == "19"
    assert logs.last_lines(tmp_path / "none", 0) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SIGINT", signal.SIGINT),
        ("quit", signal.SIGQUIT),
        ("15", signal.SIGTERM),
        ("SIGNONSENSE", signal.SIGTERM),
        ("999", signal.SIGTERM),
    ],
)
def test_stop_signals_are_read_in_any_form(text: str, expected: signal.Signals) -> None:
    assert ending.number(text) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Resolved 44 packages in 20ms", ("downloading", "44 packages")),
        ("Downloading torch (180.1MiB)", ("downloading", "torch 180.1MiB")),
        (" Downloaded torch", ("downloading", "torch done")),
        ("   Building x==1", ("building", "x==1")),
        ("Prepared 3 packages in 1s", ("installing", "3 packages")),
        ("added 280 packages in 4s", ("installing", "280 packages")),
        (" + six==1.17.0", None),
    ],
)
def test_progress_is_read_from_what_the_tools_print(line: str, expected: tuple[str, str] | None) -> None:
    assert progress.step(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("error: write failed: No space left on device (os error 28)", "the disk is full"),
        ("npm error code EINTEGRITY", "hash mismatch"),
        (
            "  cause: the current Python version (3.14.0) does not satisfy Python>=3.9,<3.13",
            "version of its interpreter",
        ),
        ("npm error 404 Not Found", "does not exist"),
        ("npm error network getaddrinfo EAI_AGAIN", "cannot be reached"),
        ("error: something else", "could not be installed: something else"),
    ],
)
def test_failures_of_the_tools_become_sentences(line: str, expected: str) -> None:
    assert expected in progress.failure("thing==1", ["Resolved 3 packages in 1ms", line])


def test_a_grudge_is_kept_and_lapses_with_a_changed_entry(tmp_path: Path) -> None:
    path = tmp_path / "not-pausable.json"
    Grudges(path).remember("svc", "one", "it died")
    again = Grudges(path)
    assert again.reason("svc", "one") == "it died"
    assert again.reason("svc", "two") is None
    path.write_text("{")
    assert Grudges(path).reason("svc", "one") is None
    again.exit_after_thaw("other", "one", "was ended by SIGKILL")
    assert again.reason("other", "one") is None


def test_cpu_counts_from_readiness_and_never_falls() -> None:
    usage = Usage()
    usage.restart("svc-1", 100.0)
    assert usage.cores("svc-1", 103.0) == pytest.approx(3 / 60)
    assert usage.cores("svc-1", 50.0) == pytest.approx(3 / 60)
    usage.restart("svc-1", 50.0)
    assert usage.cores("svc-1", 56.0) == pytest.approx(6 / 60)


def test_a_file_with_two_names_takes_its_room_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert 100_000 <= disk.taken(tmp_path) < 150_000


def test_a_process_is_known_by_pid_and_start_time() -> None:
    own = read(os.getpid())
    assert own is not None
    assert own.parent == os.getppid()
    assert lives(own.identity)
    assert not lives(Identity(own.pid, own.start + 1))
    assert read(2**22 + 1) is None


def test_a_process_with_anothers_pid_lends_a_tree_neither_itself_nor_its_session() -> None:
    own = read(os.getpid())
    assert own is not None
    leader = read(own.session) or own
    assert ProcessTable(Marks()).tree(Identity(leader.pid, leader.start + 1), "nobody/nothing") == []
