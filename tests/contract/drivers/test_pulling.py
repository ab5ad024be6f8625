"""Pulling images: from a registry that has them, wants a login, lacks the tag, is slow, or is not there."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.scaler.drivers.base import PrepareError
from tests.contract.drivers.bench import until
from tests.contract.drivers.docker_bench import DockerBench, docker
from tests.support.engine.registry import Registry

CONTAINERS = True
pytestmark = pytest.mark.docker
Told = list[tuple[str, float | None, str]]


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry()
    await made.start()
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def images_are_removed() -> Iterator[None]:
    yield
    for name in ("good", "private", "slow"):
        left = docker("images", "--filter", f"reference=127.0.0.1:*/{name}", "--format", "{{.Repository}}:{{.Tag}}")
        if left:
            docker("rmi", "-f", *left.split())


async def refusal(yard: DockerBench, image: str, **fields: str) -> str:
    driver = await yard.driver()
    service = yard.service("never", ports=())
    yard.amend("svc", image=image, **fields)
    with pytest.raises(PrepareError) as told:
        await driver.prepare(service, lambda *_: None)
    assert yard.containers() == []
    return str(told.value)


async def test_an_image_is_pulled_once_with_its_progress_and_then_started(
    yard: DockerBench, registry: Registry
) -> None:
    driver = await yard.driver()
    service = yard.service("never", ports=())
    yard.amend("svc", image=f"{registry.place}/good:1", command=["/keep"])
    await driver.stacks.of(yard.project)
    assert not driver.installed(service)
    told: Told = []
    await driver.prepare(service, lambda *one: told.append(one))
    assert {"downloading", "installing"} <= {phase for phase, _, _ in told}
    fractions = [fraction for _, fraction, _ in told if fraction is not None]
    assert fractions == sorted(fractions)
    assert told[-1] == ("installing", 1.0, "done")
    assert driver.installed(service)
    again: Told = []
    await driver.prepare(service, lambda *one: again.append(one))
    assert again == []
    await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    await driver.stop(service, "svc-1")
    pruned = await asyncio.to_thread(driver.prune, None, (), cache=False)
    assert pruned["removed"] == ["svc"]
    assert pruned["freed"] > 3 << 20
    assert yard.containers() == []


async def test_a_pull_goes_on_when_its_caller_leaves_and_the_next_one_joins_it(
    yard: DockerBench, registry: Registry
) -> None:
    driver = await yard.driver()
    service = yard.service("never", ports=())
    yard.amend("svc", image=f"{registry.place}/slow:1", command=["/keep"])
    first: Told = []
    leaving = asyncio.create_task(driver.prepare(service, lambda *one: first.append(one)))
    await until(lambda: any(fraction for _, fraction, _ in first))
    leaving.cancel()
    await asyncio.wait({leaving})
    second: Told = []
    joining = asyncio.create_task(driver.prepare(service, lambda *one: second.append(one)))
    await asyncio.sleep(0.1)
    registry.go_on.set()
    await joining
    assert second[-1] == ("installing", 1.0, "done")
    assert ("downloading", None, "asking the registry") not in second


async def test_one_pull_runs_at_a_time_and_the_next_is_told_to_wait(yard: DockerBench, registry: Registry) -> None:
    driver = await yard.driver()
    services = {name: yard.service("never", name=name, ports=()) for name in ("slow", "good")}
    for name in services:
        yard.amend(name, image=f"{registry.place}/{name}:1", command=["/keep"])
    told: Told = []
    first = asyncio.create_task(driver.prepare(services["slow"], lambda *one: told.append(one)))
    await until(lambda: bool(told))
    waiting: Told = []
    second = asyncio.create_task(driver.prepare(services["good"], lambda *one: waiting.append(one)))
    await until(lambda: bool(waiting))
    assert waiting == [("waiting", None, f"{registry.place}/slow:1 is being pulled")]
    registry.go_on.set()
    await asyncio.gather(first, second)


async def test_a_private_image_is_told_as_one_and_pulled_by_who_has_logged_in(
    yard: DockerBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(locked=True)
    await registry.start()
    image = f"{registry.place}/private:1"
    assert "does not give it to this user" in await refusal(yard, image)
    login = base64.b64encode(b"me:secret").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.place: {"auth": login}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    [driver] = yard.drivers
    yard.amend("svc", command=["/keep"])
    await driver.prepare(yard.services["svc"], lambda *_: None)
    await registry.close()


async def test_a_tag_that_does_not_exist_is_named(yard: DockerBench, registry: Registry) -> None:
    said = await refusal(yard, f"{registry.place}/good:2")
    assert f"image {registry.place}/good:2 cannot be pulled: its registry has no such tag" in said


async def test_a_registry_that_cannot_be_reached_is_told(yard: DockerBench) -> None:
    assert "its registry cannot be reached (is there a network?)" in await refusal(yard, "127.0.0.1:9/none:1")


async def test_an_image_that_must_not_be_pulled_is_not(yard: DockerBench, registry: Registry) -> None:
    said = await refusal(yard, f"{registry.place}/good:1", pull_policy="never")
    assert f"`docker pull {registry.place}/good:1`" in said


async def test_nothing_is_pulled_below_the_floor_of_free_disk(yard: DockerBench, registry: Registry) -> None:
    driver = yard.make(disk_floor=1 << 60)
    yard.drivers.append(driver)
    yard.configure(driver)
    await driver.adopt()
    service = yard.service("never", ports=())
    yard.amend("svc", image=f"{registry.place}/good:1")
    with pytest.raises(PrepareError, match="MiB of disk are free"):
        await driver.prepare(service, lambda *_: None)


async def test_a_service_that_is_built_is_built_at_its_first_wake(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service("never", ports=())
    (yard.folder / "Dockerfile").write_text("FROM aihub-test/web\nCMD ['sleep', '1000']\n")
    yard.amend("svc", image=f"{yard.project}-own", build=str(yard.folder))
    told: Told = []
    try:
        await driver.prepare(service, lambda *one: told.append(one))
        assert [phase for phase, _, _ in told] == ["building", "building"]
        assert len(yard.containers()) == 1
    finally:
        yard.remove()
        docker("rmi", "-f", f"{yard.project}-own")
