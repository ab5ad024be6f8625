"""Ports that a project names and nothing listens on, such as a debugger's."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import web

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

REST = {"idle_timeout": "5m", "stop_after": "15m"}


async def test_a_port_that_nothing_listens_on_hinders_neither_a_wake_nor_a_thaw(
    project: MakeProject, start: StartHub
) -> None:
    shop = project("shop")
    shop.write({"svc": web("svc", rests=REST, expose=["8080", "9229"]), "kept": web("kept", expose=["8080", "9229"])})
    hub = start(shop)
    for how in ("stopped", "paused"):
        await hub.rested("svc", how)
        begun = time.monotonic()
        assert (await asyncio.to_thread(hub.ask, "/api/svc/"))[0] == 200
        assert time.monotonic() - begun < 15
    assert (await asyncio.to_thread(hub.ask, "/api/kept/"))[0] == 200
    await hub.until("kept", "ready")
