"""What is told of a machine before anything starts, as far as it can be told without an engine."""

from __future__ import annotations

from pathlib import Path

from services.deploy.preflight import files


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
