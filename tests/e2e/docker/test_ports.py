"""Ports of a project: those it publishes are bound as the engine binds them, and those that nothing listens on, such as
a debugger's, hinder nobody."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.docker_hub import docker, eventually, fetch, web
from tests.support.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

_BRIDGE = "{{(index .IPAM.Config 0).Gateway}}"
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


async def test_published_ports_answer_where_the_engine_bound_them_and_by_every_name(
    project: MakeProject, start: StartHub
) -> None:
    hosts = {"all": "", "four": "0.0.0.0:", "six": "[::]:", "own": "127.0.0.1:", "own-six": "[::1]:", "bound": ""}
    ports = {name: free_port() for name in hosts}
    shop = project("shop")
    bound = {"driver_opts": {"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}}
    shop.write(
        {
            name: web(
                name,
                ports=[f"{host}{ports[name]}:8080"],
                networks=["bound" if name == "bound" else "default"],
            )
            for name, host in hosts.items()
        },
        networks={"default": {}, "bound": bound},
    )
    asked = ["127.0.0.1", "::1", docker("network", "inspect", "bridge", "--format", _BRIDGE)]

    async def reached() -> dict[tuple[str, str], int]:
        """Status by service and address; 0: nobody is there."""
        wanted = [(name, address) for name in ports for address in asked]
        answers = [asyncio.to_thread(_status, ports[name], address) for name, address in wanted]
        return dict(zip(wanted, await asyncio.gather(*answers), strict=True))

    shop.compose("up", "--detach")
    own = [shop.address(name) for name in ports]
    await eventually(lambda: all(_status(8080, address) == 200 for address in own))
    before = await reached()
    shop.compose("down")
    assert set(before.values()) == {0, 200}, before
    hub = start(shop, lazy="all")
    assert await reached() == before, hub.said()


def _status(port: int, address: str) -> int:
    try:
        return fetch(port, "/", address=address, host="shop.example.org")[0]
    except OSError:
        return 0
