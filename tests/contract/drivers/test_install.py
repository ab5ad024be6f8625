"""Installing what a service needs: from the registries themselves, and from ones that stall or are not there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.catalog.model import Local, Package
from services.layout import Layout
from services.scaler.drivers.base import PrepareError
from services.scaler.drivers.process import ProcessDriver
from services.scaler.drivers.process.platform import Wish
from services.scaler.drivers.process.tool import Tools
from tests.contract.drivers.conftest import Bench, until

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[3]
INSTALLER = ROOT / "tests" / "support" / "programs" / "fault_installer.py"
PYPI = Package("pypi", "cowsay==6.1")
NPM = Package("npm", "semver@7.6.3")
Told = list[tuple[str, float | None, str]]


CONTAINMENTS = [Wish.WALK]
"""What holds replicas together means nothing here: once is enough."""


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture
def node_at_hand(layout: Layout, downloads: Path) -> None:
    """Node is large: the tests that need it download it once."""
    layout.cache.rmdir()
    layout.cache.symlink_to(downloads)


@pytest.fixture
def stalling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("UV_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        yield


async def prepare(bench: Bench, package: Package, name: str = "svc") -> tuple[ProcessDriver, Told]:
    driver = await bench.driver()
    told: Told = []
    await driver.prepare(bench.service(name=name, local=Local(("x",), package)), lambda *one: told.append(one))
    return driver, told


async def refusal(bench: Bench, package: Package) -> str:
    with pytest.raises(PrepareError) as told:
        await prepare(bench, package)
    assert list(bench.layout.envs.glob("svc/*")) == []
    assert bench.processes() == set()
    return str(told.value)


@pytest.mark.network
async def test_a_package_from_pypi_is_installed_once_and_its_program_found(bench: Bench) -> None:
    driver, told = await prepare(bench, PYPI)
    assert told[0][0] == "resolving"
    assert told[-1] == ("installing", 1.0, "done")
    fractions = [fraction for _, fraction, _ in told if fraction is not None]
    assert fractions == sorted(fractions)
    assert "cowsay==6.1" in (bench.layout.state / "locks" / "svc.txt").read_text()
    service = bench.service(ports=(), local=Local(("cowsay", "-t", "hello from the environment"), PYPI))
    again: Told = []
    await driver.prepare(service, lambda *one: again.append(one))
    assert again == []
    await driver.start(service, "svc-1")
    log = bench.layout.service_log("svc")
    await until(lambda: "hello from the environment" in log.read_text())
    await driver.stop(service, "svc-1")


@pytest.mark.network
@pytest.mark.usefixtures("node_at_hand")
async def test_a_package_from_npm_brings_its_own_node(bench: Bench) -> None:
    driver, _ = await prepare(bench, NPM)
    service = bench.service(ports=(), local=Local(("semver", "-i", "minor", "1.2.3"), NPM))
    await driver.start(service, "svc-1")
    log = bench.layout.service_log("svc")
    await until(lambda: "1.3.0" in log.read_text(), within=20)
    await driver.stop(service, "svc-1")
    assert '"resolved"' not in (bench.layout.state / "locks" / "svc.package-lock.json").read_text()


@pytest.mark.network
async def test_what_is_pruned_is_installed_again_as_it_was_and_data_stays(bench: Bench) -> None:
    driver, _ = await prepare(bench, PYPI)
    lock = (bench.layout.state / "locks" / "svc.txt").read_bytes()
    kept = bench.layout.service_data("svc") / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert driver.prune(None, {"svc"}, cache=False)["kept"] == {"svc": "it runs or is being installed"}
    sizes = driver.df()
    assert sizes["services"]["svc"]["env"] > 0
    pruned = driver.prune({"svc"}, (), cache=True)
    assert pruned["removed"] == ["svc"]
    assert pruned["freed"] > 0
    assert not (bench.layout.envs / "svc").exists()
    assert kept.read_text() == "mine"
    await prepare(bench, PYPI)
    assert (bench.layout.state / "locks" / "svc.txt").read_bytes() == lock


@pytest.mark.network
@pytest.mark.usefixtures("node_at_hand")
@pytest.mark.parametrize(
    "package",
    [
        Package("pypi", "no-such-package-of-anybody==1.0"),
        Package("pypi", "six==99.9"),
        Package("npm", "no-such-package-of-anybody-x@1.0.0"),
    ],
    ids=lambda package: package.requirement,
)
async def test_a_package_or_version_that_does_not_exist_is_named(bench: Bench, package: Package) -> None:
    said = await refusal(bench, package)
    assert f"{package.requirement} does not exist in the registry" in said


@pytest.mark.network
async def test_a_file_that_is_not_the_locked_one_is_refused(bench: Bench, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"cowsay==6.1 --hash=sha256:{'0' * 64}\n")
    assert "hash mismatch" in await refusal(bench, Package("pypi", "cowsay==6.1", str(lock)))


async def test_without_a_network_the_caller_is_told_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    assert "the package registry cannot be reached" in await refusal(bench, PYPI)


async def test_a_lock_that_lacks_the_package_is_told_with_the_command_that_makes_one(
    bench: Bench, tmp_path: Path
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("other==1.0\n")
    said = await refusal(bench, Package("pypi", "cowsay==6.1", str(lock)))
    assert "does not hold cowsay==6.1" in said
    assert "uv pip compile --generate-hashes" in said
    assert "is not there" in await refusal(bench, Package("pypi", "cowsay==6.1", str(tmp_path / "none.txt")))


async def test_nothing_is_installed_below_the_floor_of_free_disk(bench: Bench) -> None:
    driver = ProcessDriver(bench.layout, bench.post, containment=Wish.WALK, disk_floor=1 << 60)
    with pytest.raises(PrepareError, match="MiB of disk are free"):
        await driver.prepare(bench.service(local=Local(("x",), PYPI)), lambda *_: None)


async def test_an_installation_is_ended_when_the_disk_runs_low_meanwhile(layout: Layout) -> None:
    floor = os.statvfs(layout.data).f_bavail * os.statvfs(layout.data).f_frsize - (64 << 20)
    eager = ["sh", "-c", "head -c 200M /dev/zero > filler; sync filler; sleep 60"]
    tools = Tools("test/disk", layout.data, floor)
    with pytest.raises(PrepareError, match="MiB of disk are free"):
        await tools.run(
            "it", eager, folder=layout.data, variables={}, on_line=lambda line: None, each_look=lambda: None
        )
    (layout.data / "filler").unlink()


@pytest.mark.usefixtures("stalling")
async def test_one_installation_runs_at_a_time_and_the_next_is_told_to_wait(bench: Bench) -> None:
    driver = await bench.driver()
    first, second = (bench.service(name=name, local=Local(("x",), PYPI)) for name in ("one", "two"))
    told: Told = []
    running = asyncio.create_task(driver.prepare(first, lambda *_: None))
    await until(lambda: bool(bench.processes()))
    waiting = asyncio.create_task(driver.prepare(second, lambda *one: told.append(one)))
    await until(lambda: bool(told))
    assert told == [("waiting", None, "one is being installed")]
    assert driver.prune({"one"}, (), cache=False)["kept"].keys() == {"one"}
    running.cancel()
    await until(lambda: len(told) > 1)
    waiting.cancel()
    await asyncio.wait({running, waiting})
    assert bench.processes() == set()


@pytest.mark.network
async def test_an_installation_whose_scaler_was_killed_is_ended_and_done_again(
    bench: Bench, stalling: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = await asyncio.create_subprocess_exec(
        sys.executable,
        str(INSTALLER),
        str(bench.layout.data),
        PYPI.requirement,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    await until(lambda: bool(bench.processes()), within=20)
    scaler.send_signal(signal.SIGKILL)
    await scaler.wait()
    assert bench.processes() != set()
    # The environment as a kill in the midst of filling it leaves it: there, but not complete.
    driver = await bench.driver()
    assert bench.processes() == set()
    half = driver._installer.folder("svc", PYPI)
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.delenv("UV_INDEX_URL")
    told: Told = []
    await driver.prepare(bench.service(local=Local(("x",), PYPI)), lambda *one: told.append(one))
    assert told[-1] == ("installing", 1.0, "done")
    assert (half / "bin" / "cowsay").exists()
