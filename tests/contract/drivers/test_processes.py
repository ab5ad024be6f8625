"""What the process driver promises beyond the contract: words and environment, what it cannot run."""

from __future__ import annotations

import os
import signal
import time

import pytest

from services.catalog.model import Catalog, Local
from services.scaler.drivers.base import StartError
from services.scaler.drivers.process import ProcessDriver
from tests.contract.drivers.bench import ProcessBench, command, text


async def test_a_program_sees_its_own_environment_and_nothing_of_the_hubs(
    bench: ProcessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIHUB_TOKEN", "secret")
    monkeypatch.setenv("SOME_PASSWORD", "secret")
    driver = await bench.driver()
    bench.service(name="other")
    local = Local(
        command("good", "{data}", "{url:other}", "{{port}}").command, environment={"OVER": "local", "AT": "{port}"}
    )
    service = bench.service(local=local, environment={"OVER": "compose", "PEER": "http://other:80/x"})
    bench.configure(driver)
    running = await driver.start(service, "svc-1")
    await driver.ready(service, "svc-1")
    endpoint = running.endpoints["main"]
    seen = dict(line.partition("=")[::2] for line in (await text(endpoint, "/environment")).splitlines())
    port = endpoint.partition(":")[2]
    assert seen.pop("AIHUB_REPLICA").endswith("/svc-1")
    assert (seen["OVER"], seen["AT"], seen["PEER"]) == ("local", port, "http://127.0.0.1:8000/api/other/x")
    assert not [name for name in seen if name.startswith("AIHUB_") or name == "SOME_PASSWORD"]
    data = str(bench.layout.service_data("svc"))
    assert seen["HOME"] == data == await text(endpoint, "/folder")
    assert (await text(endpoint, "/words")).splitlines()[-3:] == [data, "http://127.0.0.1:8000/api/other", "{port}"]


def test_a_service_this_platform_cannot_run_says_why(bench: ProcessBench) -> None:
    driver = ProcessDriver(bench.layout, bench.post, containment=bench.containment)
    assert "x-hub.local" in (driver.unavailable(bench.service(local=None)) or "")
    needing = bench.service(local=Local(("x",), requires="no-such-program"))
    assert "'no-such-program'" in (driver.unavailable(needing) or "")
    assert driver.unavailable(bench.service()) is None


async def test_a_command_that_is_not_there_is_told_at_once_and_leaves_nothing(bench: ProcessBench) -> None:
    driver = await bench.driver()
    with pytest.raises(StartError, match="'no-such-program' not found"):
        await driver.start(bench.service(local=Local(("no-such-program",))), "svc-1")
    with pytest.raises(StartError, match=r"\{url:nobody\}"):
        await driver.start(bench.service(local=Local(("sleep", "{url:nobody}"))), "svc-2")
    assert bench.records() == []
    assert driver.configure(Catalog(), {}) is None


async def test_a_tree_whose_program_has_just_died_holds_up_no_freeze(bench: ProcessBench) -> None:
    driver = await bench.driver()
    running = await driver.start(bench.service(), "svc-1")
    await driver.ready(bench.service(), "svc-1")
    assert running.pid is not None
    tree = driver._replicas["svc-1"].tree
    await driver._replicas["svc-1"].enclosed()
    os.kill(running.pid, signal.SIGKILL)
    begun = time.monotonic()
    # In the very step of its death, which the event loop has not heard of.
    tree.freeze(3.0)
    assert time.monotonic() - begun < 1.0
