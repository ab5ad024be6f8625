"""Services that do a task and end, as a project of somebody's has them: done once, in their turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import IMAGE, docker, eventually, web

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

REST = {"idle_timeout": "5m", "stop_after": "15m"}
FAILS = "import sys; print('tried', flush=True); sys.exit(3)"
DIES = "import sys, time; print('tried', flush=True); time.sleep(2); sys.exit(3)"
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


async def test_what_fails_and_has_no_restart_is_left_so_and_who_needs_it_has_it_tried_once_more(
    project: MakeProject, start: StartHub
) -> None:
    """As compose has it: `restart: "no"` is not again, `on-failure:2` is twice again, by the engine."""
    shop = project("shop")
    shop.write(
        {
            "fails": task(FAILS),
            "dies": task(DIES, restart="no"),
            "twice": task(FAILS, restart="on-failure:2"),
            "kept": task(DIES, restart="always"),
            "svc": web("svc", rests=REST, depends_on=after("fails")),
            "other": web("other", rests=REST, depends_on=["dies"]),
        }
    )
    hub = start(shop)

    def tries(name: str) -> int:
        return sum(docker("logs", one.id).count("tried") for one in shop.containers(name))

    await eventually(lambda: tries("kept") >= 4 and tries("twice") >= 3, told=hub.said)
    assert [tries(name) for name in ("fails", "dies", "twice")] == [1, 1, 3], hub.said()
    for name in ("fails", "dies", "twice"):
        told = hub.status()["services"][name]
        assert (told["state"], "exited with code 3" in told["reason"]) == ("failed", True), told
    status, _, body = await asyncio.to_thread(hub.ask, "/api/svc/")
    assert (status, b"fails exited with code 3" in body) == (502, True), body
    assert tries("fails") == 2
    # What needs it only to be begun has it begun, and goes on when it is over.
    assert (await asyncio.to_thread(hub.ask, "/api/other/"))[0] == 200
    assert tries("dies") == 2
    await eventually(lambda: shop.container("dies").state == "exited")
    assert (await asyncio.to_thread(hub.ask, "/api/other/"))[0] == 200
    assert [tries(name) for name in ("fails", "dies", "twice")] == [2, 2, 3], hub.said()
    assert "left so until somebody asks for it" in hub.cli("explain", "dies").stdout
