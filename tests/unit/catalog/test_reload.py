"""A catalogue that is read again: only what has changed is read anew, and nothing that has changed is missed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.catalog.load import CatalogError, CatalogReader


def lay(folder: Path, files: int = 12, services: int = 5) -> Path:
    for number in range(files):
        (folder / f"f{number}.yml").write_text(part(number, services))
    main = folder / "main.yml"
    main.write_text("include:\n" + "".join(f"  - f{number}.yml\n" for number in range(files)))
    return main


def part(number: int, services: int = 5, image: str = "x") -> str:
    body = f"{{image: {image}, profiles: [on-demand], expose: [80]}}"
    return "services:\n" + "".join(f"  s{number}-{i}: {body}\n" for i in range(services))


def test_services_of_unchanged_files_are_the_same_objects(tmp_path: Path) -> None:
    main, reader = lay(tmp_path), CatalogReader(environ={})
    before = reader.read([main]).services
    (tmp_path / "f3.yml").write_text(part(3, image="changed"))
    after = reader.read([main]).services
    assert {name for name in after if after[name] is not before[name]} == {f"s3-{i}" for i in range(5)}
    assert after["s3-0"].image == "changed"


def test_a_change_within_one_tick_of_the_clock_and_of_the_same_length_is_seen(tmp_path: Path) -> None:
    main, reader = lay(tmp_path, 1), CatalogReader(environ={})
    reader.read([main])
    stamp = (tmp_path / "f0.yml").stat()
    (tmp_path / "f0.yml").write_text(part(0, image="y"))
    os.utime(tmp_path / "f0.yml", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert reader.read([main]).services["s0-0"].image == "y"


def test_a_bad_file_is_an_error_and_the_mended_one_is_read_again(tmp_path: Path) -> None:
    main, reader = lay(tmp_path, 2), CatalogReader(environ={})
    before = reader.read([main]).services
    (tmp_path / "f0.yml").write_text("services: {s0-0: [")
    with pytest.raises(CatalogError, match=r"f0\.yml:2:1"):
        reader.read([main])
    (tmp_path / "f0.yml").write_text(part(0))
    after = reader.read([main]).services
    assert after == before
    assert after["s1-0"] is before["s1-0"]


def test_a_changed_variable_changes_the_services_that_name_it(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("services: {a: {image: 'x:$V'}}")
    reader = CatalogReader(environ={})
    (tmp_path / ".env").write_text("V=1\n")
    assert reader.read([tmp_path / "c.yml"]).services["a"].image == "x:1"
    (tmp_path / ".env").write_text("V=2\n")
    assert reader.read([tmp_path / "c.yml"]).services["a"].image == "x:2"


def test_an_env_file_and_a_lock_that_change_or_appear_are_seen(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(
        "services: {a: {image: x, env_file: [{path: e.env, required: false}], "
        "x-hub: {local: {command: x, package: 'pypi:p==1'}}}}"
    )
    reader = CatalogReader(environ={})
    seen = [reader.read([tmp_path / "c.yml"]).services["a"]]
    (tmp_path / "e.env").write_text("A=1\n")
    seen.append(reader.read([tmp_path / "c.yml"]).services["a"])
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "a.txt").write_text("pinned\n")
    seen.append(reader.read([tmp_path / "c.yml"]).services["a"])
    (tmp_path / "locks" / "a.txt").write_text("other!\n")
    seen.append(reader.read([tmp_path / "c.yml"]).services["a"])
    assert len({service.digest for service in seen}) == 4
    assert dict(seen[1].environment) == {"A": "1"}
    assert reader.read([tmp_path / "c.yml"]).services["a"] is seen[-1]


def test_a_service_that_moves_to_another_file_is_found_there(tmp_path: Path) -> None:
    main, reader = lay(tmp_path, 2, 2), CatalogReader(environ={})
    reader.read([main])
    (tmp_path / "f0.yml").write_text(part(0, 1))
    (tmp_path / "f1.yml").write_text(part(1, 2) + part(0, 2).splitlines()[2] + "\n")
    service = reader.read([main]).services["s0-1"]
    assert service.source.file == str(tmp_path / "f1.yml")


def test_a_reload_gives_what_a_first_reading_gives(tmp_path: Path) -> None:
    main, reader = lay(tmp_path, 6), CatalogReader(environ={})
    for number in range(6):
        reader.read([main])
        (tmp_path / f"f{number}.yml").write_text(part(number, number + 1, f"i{number}"))
        again, first = reader.read([main]), CatalogReader(environ={}).read([main])
        assert again.services == first.services
        assert set(again.files) == set(first.files)
        assert again.notes == first.notes
