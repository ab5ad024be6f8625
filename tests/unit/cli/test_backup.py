"""When copies are due, and which copy a folder or a file means."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from services.cli.commands.backup import due_in
from services.keep import copies
from services.keep.copies import BadCopy

TOLD = {"version": "1", "image": "i", "parts": ["data"], "how": "rested"}


def made(folder: Path, service: str, stamp: str, monkeypatch: pytest.MonkeyPatch, text: bytes = b"x") -> Path:
    monkeypatch.setattr(copies, "now", lambda: stamp)
    return copies.write(folder, service, [text], **TOLD).archive  # type: ignore[arg-type]


def test_a_round_is_due_when_the_newest_copy_is_old_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert due_in(tmp_path, 86400, began=1000, now=1000) == 600, "all has come up by then"
    assert due_in(tmp_path, 60, began=1000, now=1000) == 60
    archive = made(tmp_path, "a", "20260101T000000Z", monkeypatch)
    os.utime(archive, (5000, 5000))
    assert due_in(tmp_path, 3600, began=8000, now=8100) == 500
    assert due_in(tmp_path, 3600, began=8000, now=9000) == 0


def test_a_folder_means_the_newest_copy_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a-b", "20260102T000000Z", monkeypatch)
    newest = made(tmp_path, "a-b", "20260103T000000Z", monkeypatch)
    made(tmp_path, "a", "20260104T000000Z", monkeypatch)
    assert copies.find(tmp_path, "a-b").archive == newest
    with pytest.raises(BadCopy, match="several services: say which one"):
        copies.find(tmp_path, None)
    with pytest.raises(BadCopy, match="no backup of other"):
        copies.find(tmp_path, "other")
    with pytest.raises(BadCopy, match="is of a-b, not of a"):
        copies.find(newest, "a")
    assert copies.find(newest.with_name("a-b-20260103T000000Z.json"), None).archive == newest
    assert [path.name for path in copies.thin_out(tmp_path, "a-b", 1)] == ["a-b-20260102T000000Z.tar.gz"]
    assert len(copies.every(tmp_path)) == 2


def test_what_is_damaged_or_incomplete_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = made(tmp_path, "a", "20260102T000000Z", monkeypatch, bytes(5000))
    copy = copies.read(archive)
    copies.verify(copy)
    assert b"".join(copies.pieces(copy)) == bytes(5000)
    archive.write_bytes(archive.read_bytes()[:-9])
    with pytest.raises(BadCopy, match="is damaged"):
        copies.verify(copy)
    with pytest.raises(BadCopy, match="cannot be read"):
        b"".join(copies.pieces(copy))
    beside = tmp_path / "a-20260102T000000Z.json"
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "format": 9}))
    with pytest.raises(BadCopy, match="of format 9"):
        copies.read(archive)
    beside.unlink()
    with pytest.raises(BadCopy, match="has no manifest beside it"):
        copies.read(archive)
    assert copies.every(tmp_path) == []


def test_a_copy_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> object:
        yield b"some"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        copies.write(tmp_path / "new", "a", pieces(), **TOLD)  # type: ignore[arg-type]
    assert list((tmp_path / "new").iterdir()) == []
