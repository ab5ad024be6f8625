"""`aihub up` and `down` as processes, with the stand-in scaler and the real Envoy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.layout import Layout
from services.supervisor import leftovers, lock, proc, record
from services.supervisor.config import Exit
from services.supervisor.proc import Identity
from tests.support.ports import free_port

pytestmark = [pytest.mark.process, pytest.mark.envoy]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    one = Layout.at(tmp_path / "data")
    yield one
    aihub("down", "--data", str(one.data))


def aihub(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )


def up(layout: Layout, port: int) -> subprocess.CompletedProcess[str]:
    scaler = "tests.unit.supervisor.stand_in_scaler"
    listen = f"127.0.0.1:{port}"
    return aihub("up", "--detach", "--data", str(layout.data), "--listen", listen, "--scaler", scaler)


def test_up_detached_returns_with_the_access_table_and_down_ends_all_of_it(layout: Layout) -> None:
    port = free_port()
    said = up(layout, port)
    assert said.returncode == 0, said.stderr
    assert f"curl http://localhost:{port}/api/hello/" in said.stdout
    assert f"hub is up at http://localhost:{port}" in said.stderr
    parts = record.read(layout.processes)

    second = up(layout, free_port())
    assert second.returncode == Exit.WRONG_STATE
    assert f"(pid {parts['supervisor'].pid})" in second.stderr

    ended = aihub("down", "--data", str(layout.data))
    assert (ended.returncode, ended.stdout) == (0, "the hub is down; its data stays\n")
    assert [one for one in parts.values() if one.alive] == []


def test_a_start_that_fails_ends_with_the_supervisors_own_exit_code_and_words(layout: Layout) -> None:
    layout.make()
    (layout.data / "fault").write_text("line 3: services.x: no such field\n")
    said = up(layout, free_port())
    assert said.returncode == Exit.BAD_INPUT
    assert "line 3: services.x: no such field" in said.stderr
    assert "Traceback" not in said.stderr


def test_down_ends_what_a_killed_supervisor_left(layout: Layout) -> None:
    assert up(layout, free_port()).returncode == 0
    parts = record.read(layout.processes)
    parts["supervisor"].send(signal.SIGKILL)
    assert parts["supervisor"].wait_gone(5.0)

    ended = aihub("down", "--data", str(layout.data))

    assert ended.returncode == 0
    assert "what a killed hub had left is ended" in ended.stdout
    assert [one for one in parts.values() if one.alive] == []
    assert lock.holder(layout.lock) is None


def test_down_ends_replicas_on_record_that_nobody_looks_after(layout: Layout) -> None:
    layout.make()
    layout.lock.touch()
    with subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600 & wait; wait"], start_new_session=True) as replica:
        root = Identity.of(replica.pid)
        assert root
        while not proc.descendants(replica.pid):
            pass
        tree = [one for pid in proc.descendants(replica.pid) if (one := Identity.of(pid))]
        fields = f'"pid": {root.pid}, "start": {root.start}, "boot": "{proc.boot()}"'
        (layout.replicas / "a-1.json").write_text(f'{{"replica": "a-1", {fields}}}')
        (layout.replicas / "old.json").write_text(f'{{"replica": "b-1", {fields.replace(proc.boot(), "another")}}}')
        assert leftovers.replica_roots(layout) == [root]
        assert aihub("down", "--data", str(layout.data)).returncode == 0
        assert [one for one in [root, *tree] if one.alive] == []
