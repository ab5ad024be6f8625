"""What the Docker driver promises beyond the contract: other people's hands on containers, and entries that change."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from services.catalog.model import Containers, Port, Protocol, Scaling, Service
from services.scaler.core.events import Appeared, End, Exited, Meddled
from services.scaler.drivers.base import DriverError, Finished, Interrupted, NotOurs, PrepareError, StartError
from services.scaler.drivers.docker import checks
from services.scaler.drivers.docker.engine import EngineRefused
from services.scaler.drivers.docker.preparing import BRING_UP
from tests.contract.drivers.bench import text, until
from tests.contract.drivers.docker_bench import IMAGE, DockerBench, docker
from tests.support.docker_hub import prune_volumes
from tests.support.engine.relay import Relay

CONTAINERS = True
pytestmark = pytest.mark.docker


def quiet(*_: object) -> None:
    pass


def inspected(name: str) -> Any:
    return json.loads(docker("inspect", name))[0]


async def awake(yard: DockerBench, driver: Any, service: Service, replica: str = "svc-1") -> str:
    """Its container's name."""
    running = await driver.start(service, replica)
    await driver.ready(service, replica)
    return str(running.container)


# -- somebody else's hand ----------------------------------------------------------------------------------------------


async def test_a_container_that_somebody_starts_by_hand_becomes_a_replica_when_it_serves(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service("slow", "0.4")
    await driver.prepare(service, quiet)
    [name] = yard.containers()
    docker("start", name)
    await asyncio.sleep(0.1)
    assert yard.events == []
    found = (await yard.event(Appeared)).found
    assert (found.service, found.phase, found.digest) == ("svc", "ready", "one")
    assert await text(found.endpoints["main"])
    assert driver.container(found.replica) == name
    await driver.pause(service, found.replica)
    await driver.resume(service, found.replica)
    await driver.stop(service, found.replica)
    assert yard.processes() == set()
    assert len(yard.events) == 1


async def test_a_start_takes_over_what_somebody_has_just_started(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service("slow", "0.4")
    await driver.prepare(service, quiet)
    [name] = yard.containers()
    docker("start", name)
    assert await awake(yard, driver, service) == name
    assert yard.events == []
    assert yard.containers() == [name]


@pytest.mark.parametrize("words", [("stop", "-t", "1"), ("kill",), ("rm", "-f")], ids=lambda words: words[0])
async def test_a_start_that_somebody_ends_is_told_as_such_and_the_next_one_works(
    yard: DockerBench, words: tuple[str, ...]
) -> None:
    driver = await yard.driver()
    service = yard.service("slow", "20")
    running = await driver.start(service, "svc-1")
    waiting = asyncio.create_task(driver.ready(service, "svc-1"))
    await asyncio.sleep(0.1)
    docker(*words, running.container or "")
    with pytest.raises(Interrupted, match="before it was ready"):
        await waiting
    assert yard.records() == []
    assert yard.events == []
    await awake(yard, driver, yard.service(), "svc-2")


async def test_a_program_that_ends_while_it_starts_was_interrupted_by_nobody(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service("dies-at-once")
    await driver.start(service, "svc-1")
    with pytest.raises(StartError) as told:
        await driver.ready(service, "svc-1")
    assert not isinstance(told.value, Interrupted)


async def test_a_second_copy_is_never_started_beside_one_that_appeared(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    await driver.prepare(service, quiet)
    docker("start", *yard.containers())
    found = (await yard.event(Appeared)).found
    with pytest.raises(StartError, match=f"svc runs already as {found.replica}"):
        await driver.start(service, "svc-1")
    assert len(yard.containers()) == 1


async def test_a_start_waits_for_the_stop_that_is_under_way_and_takes_its_container(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service("stubborn", stop_grace=1.0)
    name = await awake(yard, driver, service)
    stopping = asyncio.create_task(driver.stop(service, "svc-1"))
    await asyncio.sleep(0.1)
    assert await awake(yard, driver, service, "svc-2") == name
    assert stopping.done()
    assert yard.containers() == [name]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("stop", "-t", "1"), "was ended by SIGTERM"),
        (("kill",), "was ended by SIGKILL"),
        (("rm", "-f"), "is gone: its container was removed"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
async def test_what_somebody_ends_is_told_and_the_next_start_works(
    yard: DockerBench, words: tuple[str, ...], reason: str
) -> None:
    driver = await yard.driver()
    service = yard.service()
    name = await awake(yard, driver, service)
    docker(*words, name)
    told = await yard.event(Exited)
    assert reason in told.reason
    assert told.end is End.BY_HAND
    assert not driver.alive("svc-1")
    assert yard.records() == []
    await awake(yard, driver, service, "svc-2")
    assert [type(event) for event in yard.events] == [Exited]


async def test_one_that_is_just_being_removed_is_made_anew(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    for number in range(6):
        name = await awake(yard, driver, service, f"svc-{number}")
        removing = asyncio.create_task(asyncio.to_thread(docker, "rm", "-f", name))
        await yard.event(Exited)
        yard.events.clear()
        await awake(yard, driver, service, f"svc-{number}x")
        await removing
        await driver.stop(service, f"svc-{number}x")


async def test_a_container_that_was_renamed_is_the_same_and_told_by_its_new_name(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    name = await awake(yard, driver, service)
    docker("rename", name, f"{name}-x")
    await until(lambda: driver.container("svc-1") == f"{name}-x")
    await driver.pause(service, "svc-1")
    await driver.resume(service, "svc-1")
    await driver.stop(service, "svc-1")
    assert yard.events == []


async def test_what_somebody_ends_while_it_is_frozen_is_an_end_and_no_thaw(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    name = await awake(yard, driver, service)
    await driver.pause(service, "svc-1")
    docker("stop", "-t", "1", name)
    assert (await yard.event(Exited)).end is End.BY_HAND
    await asyncio.sleep(0.2)
    assert [type(event) for event in yard.events] == [Exited]
    assert driver.pausable("svc") is None


async def test_what_somebody_thaws_is_told(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    name = await awake(yard, driver, service)
    await driver.pause(service, "svc-1")
    docker("unpause", name)
    assert await yard.event(Meddled) == Meddled("svc-1", "running")


async def test_a_container_that_goes_over_its_memory_is_told_so(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    yard.amend("svc", command=["python3", "-ISE", "/web.py"], environment={"PORTS": "80"}, mem_limit="48m")
    name = await awake(yard, driver, service)
    # The first process is the init; what it watches over is what the kernel ends.
    with pytest.raises(AssertionError):
        docker("exec", name, "python3", "-c", "import os; os.environ.clear(); b'x' * (1 << 30)")
    address = next(iter(driver._roster)).record.endpoints["main"]
    asyncio.get_running_loop().create_task(_ignore(text(address, "/grow?mb=200")))
    assert "went over its memory limit" in (await yard.event(Exited)).reason


async def _ignore(call: Any) -> None:
    try:
        await call
    except Exception:
        return


async def test_containers_of_others_and_what_is_not_in_the_catalogue_are_left_alone(yard: DockerBench) -> None:
    service = yard.service()
    yard.service(name="other")
    driver = await yard.driver()
    await driver.prepare(yard.services["other"], quiet)
    [other] = yard.containers()
    del yard.services["other"]
    yard.configure(driver)
    docker("start", other)
    await awake(yard, driver, service)
    await driver.stop(service, "svc-1")
    assert yard.processes() == {other}
    assert yard.events == []
    docker("kill", other)


# -- entries that change -----------------------------------------------------------------------------------------------


async def test_a_changed_entry_is_taken_in_at_the_next_start_and_never_under_a_running_one(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    name = await awake(yard, driver, service)
    before = inspected(name)["Id"]
    yard.amend("svc", environment={"BIND": "0.0.0.0", "NEW": "yes"})
    await driver.prepare(service, quiet)
    assert inspected(name)["Id"] == before
    assert driver.alive("svc-1")
    await driver.stop(service, "svc-1")
    running = await driver.start(service, "svc-2")
    await driver.ready(service, "svc-2")
    assert "NEW=yes" in await text(running.endpoints["main"], "/environment")
    assert inspected(name)["Id"] != before


async def test_an_image_that_came_meanwhile_is_taken_at_the_next_start(yard: DockerBench) -> None:
    tag = f"{yard.project}:now"
    docker("tag", IMAGE, tag)
    try:
        driver = await yard.driver()
        service = yard.service()
        yard.amend("svc", image=tag)
        name = await awake(yard, driver, service)
        await driver.stop(service, "svc-1")
        before = inspected(name)["Id"]
        await awake(yard, driver, service, "svc-2")
        await driver.stop(service, "svc-2")
        assert inspected(name)["Id"] == before
        docker("commit", "--change", "LABEL other=yes", name, tag)
        await until(lambda: driver.images._stale)
        await awake(yard, driver, service, "svc-3")
        assert inspected(name)["Config"]["Labels"]["other"] == "yes"
        await driver.stop(service, "svc-3")
    finally:
        yard.remove()
        docker("rmi", "-f", tag)


async def test_an_image_that_was_built_anew_by_hand_is_taken_at_the_next_start(yard: DockerBench) -> None:
    tag, context = f"{yard.project}:built", yard.folder / "image"
    context.mkdir()

    def build(label: str) -> None:
        (context / "Dockerfile").write_text(f"FROM {IMAGE}\nLABEL built={label}\n")
        docker("build", "--quiet", "--tag", tag, str(context))

    build("first")
    try:
        driver = await yard.driver()
        service = yard.service()
        yard.amend("svc", image=tag)
        name = await awake(yard, driver, service)
        await driver.stop(service, "svc-1")
        build("second")
        if driver.engine.tells_of_builds:
            await until(lambda: driver.images._stale)
        await awake(yard, driver, service, "svc-2")
        assert inspected(name)["Config"]["Labels"]["built"] == "second"
        await driver.stop(service, "svc-2")
    finally:
        yard.remove()
        docker("rmi", "-f", tag)


async def test_why_compose_makes_no_container_is_told_with_the_name_once(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    yard.amend("svc", runtime="nobody-has-this")
    with pytest.raises(PrepareError) as told:
        await driver.prepare(service, quiet)
    assert str(told.value).startswith("svc: its container cannot be made: docker compose up, project ")
    assert "nobody-has-this" in str(told.value)


async def test_a_network_that_somebody_removed_comes_back_with_the_next_start(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    await awake(yard, driver, service)
    await driver.stop(service, "svc-1")
    docker("network", "rm", f"{yard.project}_default")
    await awake(yard, driver, service, "svc-2")


# -- names -------------------------------------------------------------------------------------------------------------


async def test_the_name_of_a_service_does_not_lead_to_its_container_but_a_databases_does(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service()
    database = yard.service(name="base", ports=(Port("main", 80, Protocol.TCP),), health="tcp")
    name = await awake(yard, driver, service)
    base = await awake(yard, driver, database, "base-1")
    resolve = "import socket,sys; print(socket.gethostbyname(sys.argv[1]))"
    for container in (name, base):
        with pytest.raises(AssertionError, match=r"Name or service not known|Temporary failure"):
            docker("exec", container, "python3", "-c", resolve, "svc")
    address = docker("exec", name, "python3", "-c", resolve, "base")
    assert address == inspected(base)["NetworkSettings"]["Networks"][f"{yard.project}_default"]["IPAddress"]
    await driver.stop(service, "svc-1")
    await awake(yard, driver, service, "svc-2")
    told = inspected(name)
    aliases = told["NetworkSettings"]["Networks"][f"{yard.project}_default"]["Aliases"] or ()
    assert set(aliases) <= {told["Id"][:12]}  # which older engines add themselves


async def test_networks_that_are_missing_are_made_as_compose_would(yard: DockerBench) -> None:
    service = yard.service()
    driver = await yard.driver()
    [network] = await driver.inside()
    assert network.name == f"{yard.project}_default"
    assert network.names == {"svc": "svc"}
    assert network.subnets
    assert yard.containers() == []
    identity = docker("network", "inspect", network.name, "--format", "{{.Id}}")
    await driver.prepare(service, quiet)
    assert docker("network", "inspect", network.name, "--format", "{{.Id}}") == identity
    assert await driver.inside() == [network]


# -- health checks of the entry itself ---------------------------------------------------------------------------------


@pytest.mark.parametrize("may_exec", [True, False], ids=["run by us", "told by the engine"])
async def test_a_service_with_a_health_check_alone_is_ready_when_that_passes(
    yard: DockerBench, tmp_path: Path, may_exec: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not may_exec:
        monkeypatch.setattr(checks.Check, "_passes", forbidden)
    driver = await yard.driver()
    service = yard.service(health="tcp")
    test = ["CMD", "test", "-e", str(tmp_path / "well")]
    yard.amend("svc", healthcheck={"test": test, "interval": "30s" if may_exec else "1s"})
    await driver.start(service, "svc-1")
    waiting = asyncio.create_task(driver.ready(service, "svc-1"))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    (tmp_path / "well").touch()
    async with asyncio.timeout(5):
        await waiting


async def forbidden(check: checks.Check) -> bool:
    raise EngineRefused(403, "not through this filter")


# -- several, and what is not on demand --------------------------------------------------------------------------------


async def test_a_service_that_cannot_have_several_containers_says_why(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service(scaling=Scaling(max_replicas=2))
    assert driver.unavailable(service) is None
    writing = yard.volume("svc", "data", "/data")
    assert "two would write to data" in (driver.unavailable(writing) or "")
    own = Containers(yard.project, "svc", {"default": ()}, container_name="mine")
    assert "fixed name (mine)" in (driver.unavailable(replace(service, containers=own)) or "")
    assert "no compose project" in (driver.unavailable(replace(service, containers=None)) or "")


async def test_a_stale_container_is_renewed_while_another_of_the_service_runs_on(yard: DockerBench) -> None:
    driver = await yard.driver()
    service = yard.service(scaling=Scaling(max_replicas=3), stateless=True)
    first = await awake(yard, driver, service)
    second = await awake(yard, driver, service, "svc-2")
    await driver.stop(service, "svc-2")
    before = {name: inspected(name)["Id"] for name in (first, second)}
    yard.amend("svc", environment={"BIND": "0.0.0.0", "NEW": "yes"})
    await awake(yard, driver, service, "svc-3")
    assert inspected(first)["Id"] == before[first]
    assert driver.alive("svc-1")
    assert inspected(second)["Id"] != before[second]


async def test_what_is_not_on_demand_is_brought_up_by_compose_and_never_ended(yard: DockerBench) -> None:
    service = yard.service(lazy=False)
    yard.amend("svc", profiles=[])
    driver = await yard.driver()
    name = await awake(yard, driver, service)
    assert "not on demand" in (driver.pausable("svc") or "")
    assert "left running" in await driver.stop(service, "svc-1")
    assert yard.processes() == {name}
    [found] = await (await yard.driver()).adopt()
    assert (found.service, found.phase) == ("svc", "starting")
    docker("rm", "-f", name)


async def test_a_task_that_is_done_before_compose_comes_back_is_not_done_again(
    yard: DockerBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow" / "docker"
    slow.parent.mkdir()
    late = 'case " $* " in *" up "*) sleep 1 ;; esac'
    slow.write_text(f'#!/bin/sh\n{which("docker")} "$@" && {late}\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    service = yard.service("never", lazy=False, ends=True, ports=())
    yard.amend("svc", profiles=[], command=["python3", "-c", "print('done')"])
    driver = await yard.driver()
    running = await driver.start(service, "svc-1")
    with pytest.raises(Finished, match="exited with code 0"):
        await driver.ready(service, "svc-1")
    assert docker("logs", str(running.container)).split() == ["done"]


async def test_what_is_not_on_demand_is_left_to_a_deployment_where_that_brings_it_up(
    yard: DockerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BRING_UP, "0")
    service = yard.service(lazy=False)
    yard.amend("svc", profiles=[])
    driver = await yard.driver()
    with pytest.raises(NotOurs, match=r"^svc is not on demand and does not run; .*docker compose up -d svc"):
        await driver.prepare(service, quiet)
    assert yard.containers() == []


# -- the engine itself -------------------------------------------------------------------------------------------------


async def test_no_engine_is_told_with_place_and_remedy(yard: DockerBench, tmp_path: Path) -> None:
    driver = yard.make(host=f"unix://{tmp_path}/nothing.sock")
    driver.engine._patience = 0.1
    with pytest.raises(DriverError, match=r"no Docker Engine answers at unix://.*nothing.sock .*DOCKER_HOST"):
        await driver.adopt()


async def test_what_happened_while_the_engine_was_away_is_told_when_it_is_back(
    yard: DockerBench, tmp_path: Path
) -> None:
    relay = Relay(tmp_path / "relay.sock")
    await relay.mend()
    names = ("dead", "frozen", "well", "anew", "late")
    services = {name: yard.service(name=name) for name in names}
    driver = yard.make(host=relay.host)
    yard.drivers.append(driver)
    yard.configure(driver)
    await driver.adopt()
    containers = {name: await awake(yard, driver, services[name], f"{name}-1") for name in names[:4]}
    await driver.prepare(services["late"], quiet)
    await relay.cut()
    await until(lambda: not driver._watch.connected.is_set())
    docker("kill", containers["dead"])
    docker("pause", containers["frozen"])
    docker("restart", "-t", "0", containers["anew"])
    [late] = [name for name in yard.containers() if name not in containers.values()]
    docker("start", late)
    starting = asyncio.create_task(driver.stop(services["well"], "well-1"))
    await asyncio.sleep(0.3)
    assert not starting.done()
    await relay.mend()
    await starting
    await until(lambda: len(yard.events) >= 5)
    assert len(yard.events) == 5
    ends = {event.replica: event.reason for event in yard.events if isinstance(event, Exited)}
    assert "SIGKILL" in ends["dead-1"]
    assert "started anew while the engine was away" in ends["anew-1"]
    assert Meddled("frozen-1", "paused") in yard.events
    assert {event.found.service for event in yard.events if isinstance(event, Appeared)} == {"late", "anew"}
    await driver.close()
    await relay.cut()


async def test_a_container_that_is_to_be_made_while_the_engine_is_away_is_made_when_it_is_back(
    yard: DockerBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(tmp_path / "relay.sock")
    await relay.mend()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DOCKER_HOST", relay.host)
        service = yard.service()
        driver = await yard.driver()
        await driver.prepare(service, quiet)
    docker("rm", "-f", *yard.containers())
    await until(lambda: not driver._containers.all_of(service))
    await relay.cut()
    preparing = asyncio.create_task(driver.prepare(service, quiet))
    await asyncio.sleep(0.5)
    assert not preparing.done()
    await relay.mend()
    await preparing
    assert len(yard.containers()) == 1
    await driver.close()
    await relay.cut()


# -- volumes -----------------------------------------------------------------------------------------------------------


def kept(volume: str) -> bool:
    keepers = docker("ps", "-q", "--filter", "label=aihub.keeper", "--filter", f"volume={volume}").split()
    return len(keepers) == 1


@pytest.mark.parametrize("hand", ["stop", "kill", "rm -f"])
async def test_volumes_are_held_again_after_somebody_ended_what_held_them(yard: DockerBench, hand: str) -> None:
    driver = await yard.driver()
    yard.service()
    service = yard.volume("svc", "data", "/data")
    await awake(yard, driver, service)
    volume = f"{yard.project}_data"
    await until(lambda: kept(volume))
    docker(*hand.split(), docker("ps", "-q", "--filter", "label=aihub.keeper", "--filter", f"volume={volume}").strip())
    assert not kept(volume)
    await until(lambda: kept(volume))


async def test_the_data_of_a_resting_service_survives_a_prune(yard: DockerBench) -> None:
    driver = await yard.driver()
    yard.service()
    service = yard.volume("svc", "data", "/data")
    name = await awake(yard, driver, service)
    docker("exec", name, "python3", "-c", "open('/data/kept', 'w').write('mine')")
    await until(lambda: kept(f"{yard.project}_data"))
    await driver.stop(service, "svc-1")
    label = f"label=com.docker.compose.project={yard.project}"
    docker("container", "prune", "-f", "--filter", label)
    prune_volumes("--filter", label)
    assert yard.containers() == []
    name = await awake(yard, driver, service, "svc-2")
    assert docker("exec", name, "cat", "/data/kept") == "mine"
