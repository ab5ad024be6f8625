"""What is told of a machine before anything starts, as far as it can be told without an engine."""

from __future__ import annotations

import os
from pathlib import Path

from services.deploy.preflight import files, local_hub
from services.layout import Layout
from services.supervisor import lock


def test_a_path_that_a_mount_cannot_name_is_told(tmp_path: Path) -> None:
    for root, data in ((tmp_path / "a:b", tmp_path), (tmp_path, tmp_path / "a:b")):
        [finding] = files(root, data, [])
        assert not finding.ok
        assert "a:b: neither : nor , may be in its path" in finding.detail
    assert list(files(tmp_path, tmp_path, [])) == []


def test_an_override_has_to_lie_where_the_hub_sees_it(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    root.mkdir()
    outside, missing, good = tmp_path / "a.yml", root / "none.yml", root / "c.yml"
    outside.touch()
    good.touch()
    found = list(files(root, tmp_path, [outside, missing, good]))
    assert [finding.detail for finding in found] == [f"{outside} is not below {root}", f"{missing}: no such file"]


def test_a_hub_without_containers_on_the_same_folder_is_told(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "data")
    assert list(local_hub(layout, False)) == [], "there is no such folder yet"
    layout.data.mkdir()
    held = lock.take(layout.lock)
    try:
        [finding] = local_hub(layout, False)
        assert f"(pid {os.getpid()}) runs on {layout.data}" in finding.detail
        assert list(local_hub(layout, True)) == []
    finally:
        os.close(held)
    assert list(local_hub(layout, False)) == []


def test_a_data_folder_that_is_none_ends_in_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert list(local_hub(Layout.at(tmp_path / "data"), False)) == []
