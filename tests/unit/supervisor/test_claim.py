"""One hub for one compose project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.supervisor.claim import claim
from services.supervisor.config import Exit, SupervisorError


def test_a_project_is_claimed_once_by_whatever_path_and_is_free_again_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.touch()
    (tmp_path / "also.yml").symlink_to(file)
    with claim(str(file), None):
        with pytest.raises(SupervisorError, match=rf"pid {os.getpid()}\) already keeps the containers of") as refused:
            claim(str(tmp_path / "also.yml"), None)
        assert refused.value.code is Exit.WRONG_STATE
    claim(str(file), None).close()


def test_one_file_may_be_several_projects(tmp_path: Path) -> None:
    file = str(tmp_path / "compose.yml")
    with claim(file, "blue"), claim(file, "green"), claim(file, None), pytest.raises(SupervisorError):
        claim(file, "green")
