"""Data of containers: copied and really restored; newer images that prove themselves, and one that does not."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker_hub import DockerHub, Project, docker, docker_hub, projects, web
from tests.support.hub import AIHUB
from tests.support.keeping import get, put

pytestmark = [pytest.mark.docker, pytest.mark.envoy, pytest.mark.process]

QUICK = {"idle_timeout": "60s"}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with projects(tmp_path, "keep") as [made]:
        yield made


@pytest.fixture
def image() -> Iterator[str]:
    """A name that a test moves from one image to another."""
    name = f"aihub-keep-{secrets.token_hex(4)}"
    docker("tag", "aihub-test/web", f"{name}:live")
    yield f"{name}:live"
    # By name: by its id the stand-in itself would go too.
    docker("image", "rm", f"{name}:live")


def build(name: str, *lines: str) -> None:
    text = "\n".join(["FROM aihub-test/web", *lines])
    subprocess.run(["docker", "build", "--quiet", "--tag", name, "-"], input=text, text=True, check=True)


def kept(**more: Any) -> dict[str, Any]:
    return web("kept", rests=QUICK, volumes=["kept-data:/data", "more-data:/more"], **more)


async def test_volumes_are_copied_and_restored_exactly(project: Project, tmp_path: Path) -> None:
    project.write({"kept": kept()}, volumes={"kept-data": {}, "more-data": {}})
    with docker_hub(tmp_path, [project]) as hub:
        base = f"{hub.base}/api/kept"
        put(base, "a", b"first")
        _in_volume(project, "chown 4711:815 /data/a; chmod 640 /data/a; echo x > /more/.hidden; ln -s a /data/link")
        done = hub.cli("backup", "kept")
        assert done.returncode == 0, done.stderr
        assert "rested" in done.stdout
        await hub.until("kept", "ready")

        put(base, "a", b"second")
        put(base, "b", b"later")
        _in_volume(project, "rm /more/.hidden")
        done = hub.cli("restore", "kept", "--from", str(hub.layout.backups), "--yes")
        assert done.returncode == 0, done.stderr
        assert (get(base, "a"), get(base, "b")) == (b"first", None)
        said = _in_volume(project, "ls -A /data /more; stat -c '%u %g %a' /data/a; readlink /data/link")
        assert said.split() == ["/data:", "a", "link", "/more:", ".hidden", "4711", "815", "640", "a"]


async def test_a_copy_that_breaks_off_leaves_what_was_there(project: Project, tmp_path: Path) -> None:
    project.write({"kept": kept()}, volumes={"kept-data": {}, "more-data": {}})
    with docker_hub(tmp_path, [project]) as hub:
        base = f"{hub.base}/api/kept"
        put(base, "a", b"first")
        assert hub.cli("sleep", "kept", "--to", "stopped").returncode == 0
        broken = await asyncio.to_thread(_send, hub, "/v1/services/kept/data", b"this is no archive" * 1000)
        assert broken >= 400
        assert get(base, "a") == b"first"
        assert _in_volume(project, "ls -A /data").split() == ["a"]


async def test_a_newer_image_is_taken_and_one_that_fails_is_taken_back_with_its_data(
    project: Project, image: str, tmp_path: Path
) -> None:
    project.write({"kept": kept(image=image, pull_policy="never")}, volumes={"kept-data": {}, "more-data": {}})
    with docker_hub(tmp_path, [project]) as hub:
        base = f"{hub.base}/api/kept"
        put(base, "a", b"first")
        first = project.container("kept").image
        assert "up to date" in hub.cli("upgrade", "kept").stdout

        build(image, "ENV VERSION=2")
        done = hub.cli("upgrade", "kept")
        assert done.returncode == 0, done.stderr
        assert get(base, "a") == b"first"
        second = project.container("kept").image
        assert second != first

        build(image, 'ENTRYPOINT ["sh", "-c", "echo spoiled > /data/a; exit 3"]')
        requests = asyncio.create_task(_ask_on(base))
        done = await asyncio.to_thread(hub.cli, "upgrade", "kept")
        assert done.returncode == 1
        assert "exited with code 3" in done.stderr
        assert "the version before is in use again" in done.stderr
        requests.cancel()
        assert set(await requests) == {b"first"}, "nobody has met the bad one"
        assert get(base, "a") == b"first"
        assert project.container("kept").image == second
        assert len(list(hub.layout.backups.glob("kept-*.tar.gz"))) == 2


async def test_what_is_always_on_is_frozen_for_its_copy_and_restored_at_rest(project: Project, tmp_path: Path) -> None:
    services = {"kept": web("kept", volumes=["kept-data:/data"]), "other": web("other", rests=QUICK)}
    project.write(services, volumes={"kept-data": {}})
    with docker_hub(tmp_path, [project]) as hub:
        await hub.until("kept", "ready")
        base = f"http://{project.address('kept')}:8080"
        put(base, "a", b"first")
        done = hub.cli("backup")
        assert done.returncode == 0, done.stderr
        assert "frozen" in done.stdout
        put(base, "a", b"second")
        done = hub.cli("restore", "kept", "--from", str(hub.layout.backups), "--yes")
        assert done.returncode == 0, done.stderr
        await hub.until("kept", "ready")
        assert get(f"http://{project.address('kept')}:8080", "a") == b"first"
        refused = hub.cli("upgrade", "kept")
        assert refused.returncode == 1
        assert "docker compose pull kept" in refused.stderr


async def _ask_on(base: str) -> list[bytes | None]:
    """What was answered until it is cancelled."""
    found: list[bytes | None] = []
    try:
        while True:
            found.append(await asyncio.to_thread(get, base, "a"))
            # Between requests the service is idle, so an upgrade finds its moment.
            await asyncio.sleep(2.0)
    except asyncio.CancelledError:
        return found


def _send(hub: DockerHub, path: str, body: bytes) -> int:
    from services.cli.failure import Failure
    from services.cli.hub import Hub

    try:
        Hub(hub.layout).upload(path, iter([body]), patience=60)
    except Failure:
        return 500
    return 200


def _in_volume(project: Project, script: str) -> str:
    volumes = [f"--volume={project.name}_kept-data:/data", f"--volume={project.name}_more-data:/more"]
    return docker("run", "--rm", "--user=0", "--entrypoint=sh", *volumes, "aihub-test/web", "-ec", script)


def test_the_log_of_a_container_is_told_and_followed(project: Project, tmp_path: Path) -> None:
    command = ["sh", "-c", "echo one; echo two >&2; exec python3 -I -S /web.py"]
    project.write({"kept": web("kept", rests=QUICK, entrypoint=command)})
    with docker_hub(tmp_path, [project]) as hub:
        assert hub.ask("/api/kept/")[0] == 200
        told = hub.cli("logs", "kept")
        assert told.returncode == 0, told.stderr
        assert {"one", "two"} <= set(told.stdout.split())
        assert "one" not in hub.cli("logs", "kept", "-n", "0").stdout
        assert project.container("kept").name in hub.cli("status").stdout
        following = subprocess.Popen(
            [str(AIHUB), "logs", "-f", "kept", "--data", str(hub.data)], stdout=subprocess.PIPE, text=True
        )
        assert following.stdout is not None
        assert following.stdout.readline() in ("one\n", "two\n")
        docker("stop", "--time=1", project.container("kept").id)
        assert following.wait(20) == 0, "it ends with the container"
        following.stdout.close()
        unknown = hub.cli("logs", "nobody")
        assert unknown.returncode == 2
