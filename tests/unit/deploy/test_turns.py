"""One deploy from a checkout at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from services.deploy.turns import own_turn

HOLDER = """
import sys
from pathlib import Path
from services.deploy.turns import own_turn
with own_turn(Path(sys.argv[1]), print):
    print("mine", flush=True)
    sys.stdin.read()
"""


def holder(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    return process


def test_a_second_one_says_whom_it_waits_for_and_goes_on_at_the_end_of_the_first(tmp_path: Path) -> None:
    first = holder(tmp_path)
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        first.communicate("")  # it ends once we wait for it

    with own_turn(tmp_path, say):
        assert first.returncode == 0
    assert told == [f"another deploy from here is under way (pid {first.pid}); waiting for its end"]


def test_one_that_was_killed_holds_up_nobody(tmp_path: Path) -> None:
    with holder(tmp_path) as killed:
        killed.kill()
        killed.wait()
        told: list[str] = []
        with own_turn(tmp_path, told.append):
            assert (tmp_path / ".deploy.lock").read_text() == f"{os.getpid()}\n"
    assert told == []
