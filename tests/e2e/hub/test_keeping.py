"""Copies of data that are really restored, of services without containers: with the hub up, and with it down."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from services.catalog.model import Package
from services.scaler.drivers.process.install import Installer
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub
from tests.support.keeping import WEB, digest, get, keeper, put, spoil

pytestmark = [pytest.mark.envoy, pytest.mark.process]


async def test_a_copy_is_restored_and_the_service_is_awake_as_before(start_hub: StartHub, tmp_path: Path) -> None:
    hub = start_hub({"kept": keeper(), "other": keeper()})
    base, copies = f"{hub.base}/api/kept", tmp_path / "copies"
    put(base, "a", b"first")
    done = hub.cli("backup", "--to", str(copies))
    assert done.returncode == 0, done.stderr
    [archive] = copies.glob("kept-*.tar.gz")
    manifest = json.loads(archive.with_name(archive.name.replace(".tar.gz", ".json")).read_text())
    assert (manifest["service"], manifest["how"], manifest["sha256"]) == ("kept", "rested", digest(archive))
    assert archive.stat().st_mode & 0o777 == 0o600
    await hub.until("kept", "ready")

    put(base, "a", b"second")
    put(base, "b", b"later")
    refused = hub.cli("restore", "--from", str(archive))
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert get(base, "a") == b"second"
    done = hub.cli("restore", "kept", "--from", str(copies), "--yes")
    assert done.returncode == 0, done.stderr
    assert (get(base, "a"), get(base, "b")) == (b"first", None)
    assert not list((hub.data / "restoring").iterdir())


async def test_a_damaged_copy_is_refused_before_anything_is_touched(start_hub: StartHub) -> None:
    hub = start_hub({"kept": keeper()})
    base = f"{hub.base}/api/kept"
    put(base, "a", b"first")
    assert hub.cli("backup", "kept").returncode == 0
    [archive] = hub.layout.backups.glob("*.tar.gz")
    put(base, "a", b"second")
    spoil(archive)
    refused = hub.cli("restore", "--from", str(archive), "--yes")
    assert refused.returncode == 2
    assert "is damaged" in refused.stderr
    assert get(base, "a") == b"second"


async def test_requests_wait_while_a_service_is_copied_and_one_in_use_is_frozen(start_hub: StartHub) -> None:
    hub = start_hub({"kept": keeper(scaling={"min_replicas": 1})})
    base = f"{hub.base}/api/kept"
    put(base, "a", bytes(1000))
    backup = asyncio.create_task(asyncio.to_thread(hub.cli, "backup", "kept"))
    while not backup.done():
        assert await asyncio.to_thread(get, base, "a") == bytes(1000)
    assert backup.result().returncode == 0, backup.result().stderr
    assert "frozen" in backup.result().stdout
    put(base, "a", b"second")
    assert hub.cli("restore", "kept", "--from", str(hub.layout.backups), "--yes").returncode == 0
    assert get(base, "a") == bytes(1000), "what is always on was ended, restored and started again"


async def test_a_service_that_is_in_use_is_not_restored_under_its_requests(start_hub: StartHub) -> None:
    hub = start_hub({"kept": keeper()})
    base = f"{hub.base}/api/kept"
    put(base, "a", b"first")
    assert hub.cli("backup", "kept").returncode == 0
    assert get(base, "a") == b"first"
    stream = asyncio.create_task(asyncio.to_thread(hub.ask, "/api/kept/stream?seconds=6&every=0.1"))
    await asyncio.sleep(1.0)  # the gateway's figures are read once a second
    refused = hub.cli("restore", "kept", "--from", str(hub.layout.backups), "--yes")
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert (await stream)[0] == 200


async def test_without_a_hub_a_copy_is_made_and_restored_all_the_same(start_hub: StartHub) -> None:
    hub = start_hub({"kept": keeper()})
    put(f"{hub.base}/api/kept", "a", b"first")
    hub.down()
    done = hub.cli("backup")
    assert done.returncode == 0, done.stderr
    file = hub.layout.service_data("kept") / "a"
    file.write_bytes(b"second")
    assert hub.cli("restore", "kept", "--from", str(hub.layout.backups), "--yes").returncode == 0
    assert file.read_bytes() == b"first"


async def test_old_copies_go_as_far_as_is_said(start_hub: StartHub) -> None:
    hub = start_hub({"kept": keeper()})
    put(f"{hub.base}/api/kept", "a", b"first")
    hub.down()
    folder = hub.layout.backups
    assert hub.cli("backup", "--keep", "1").returncode == 0
    [old] = folder.glob("*.tar.gz")
    manifest = old.with_name(old.name.replace(".tar.gz", ".json"))
    # As if made long ago: the next one would have the same second in its name.
    text = manifest.read_text().replace(json.loads(manifest.read_text())["made"], "20200101T000000Z")
    (folder / "kept-20200101T000000Z.json").write_text(text)
    old.rename(folder / "kept-20200101T000000Z.tar.gz")
    manifest.unlink()
    assert hub.cli("backup", "--keep", "1").returncode == 0
    assert len(list(folder.iterdir())) == 2
    assert not (folder / "kept-20200101T000000Z.tar.gz").exists()


def environment(hub: Hub, lock: Path, *, script: str = "") -> None:
    """What an installation from the lock would have left; with `script` a Python that does something else."""
    package = Package("pypi", "thing==1", str(lock))
    folder = Installer(hub.layout, "", 0).folder("kept", package)
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    if script:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    else:
        python.symlink_to(sys.executable)
    (folder / "complete").touch()


async def test_a_newer_environment_that_does_not_start_is_taken_back_with_the_data(
    start_hub: StartHub, tmp_path: Path
) -> None:
    locks = [tmp_path / f"{number}.txt" for number in (1, 2)]
    for lock in locks:
        lock.write_text(f"thing=={lock.stem} --hash=sha256:{'0' * 64}\n")

    def services(lock: Path) -> dict[str, Any]:
        local = {"package": "pypi:thing==1", "lock": str(lock), "command": f"python -I -S {WEB}"}
        return {"kept": keeper(local=local)}

    hub = start_hub(services(locks[0]))
    environment(hub, locks[0])
    base = f"{hub.base}/api/kept"
    put(base, "a", b"first")
    assert "up to date" in hub.cli("upgrade", "kept").stdout

    environment(hub, locks[1], script='echo spoiled > "$DATA/a"; exit 3')
    hub.rewrite(services(locks[1]))
    done = hub.cli("upgrade", "kept")
    assert done.returncode == 1
    assert "exited with code 3" in done.stderr
    assert get(base, "a") == b"first", "the environment before serves, with the data from before"
