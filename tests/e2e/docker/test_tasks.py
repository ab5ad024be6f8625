"""Services that do a task and end, as a project of somebody's has them: done once, in their turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import IMAGE, docker, eventually, web

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

REST = {"idle_timeout": "5m", "stop_after": "15m"}
LONG = "import time; time.sleep(1.5); print('done', flush=True)"


def task(program: str, **entry: Any) -> dict[str, Any]:
    return {"image": IMAGE, "entrypoint": ["python3", "-c", program], **entry}


def after(name: str) -> dict[str, Any]:
    return {name: {"condition": "service_completed_successfully"}}


async def test_a_task_is_done_once_and_who_waits_for_its_end_starts_after_it(
    project: MakeProject, start: StartHub
) -> None:
    shop = project("shop")
    shop.write(
        {
            "short": task("print('done')"),
            "long": task(LONG),
            "checked": task("print('done')", healthcheck={"test": ["CMD", "false"], "interval": "1s"}),
            "alone": task("print('done')", restart="on-failure"),
            "svc": web("svc", rests=REST, depends_on=after("short") | after("long") | after("checked")),
        }
    )
    hub = start(shop)
    assert (await asyncio.to_thread(hub.ask, "/api/svc/"))[0] == 200
    tasks = ("short", "long", "checked", "alone")
    await eventually(lambda: all(shop.container(name).state == "exited" for name in tasks))
    await hub.rested("svc", "stopped")
    assert (await asyncio.to_thread(hub.ask, "/api/svc/"))[0] == 200
    for name in tasks:
        assert docker("logs", shop.container(name).id).split() == ["done"], name
        assert hub.status()["services"][name]["state"] == "stopped"
