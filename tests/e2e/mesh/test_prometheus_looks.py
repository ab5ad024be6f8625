"""A real Prometheus with the shipped job for what sleeps: it has no trouble with it, and is no use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from services.web_service import http
from tests.e2e.mesh.conftest import service
from tests.support import promtool
from tests.support.envoy import Actor, Rig, rig
from tests.support.ports import free_port

pytestmark = [pytest.mark.envoy, pytest.mark.network]

SHIPPED = Path(__file__).resolve().parents[3] / "monitoring" / "prometheus" / "prometheus.yml"
NAMES = ("api-adapter", "langchain")


@pytest.fixture
async def figures() -> AsyncIterator[str]:
    """A service as those of our own are: its address."""
    runner = web.AppRunner(http.application("aihub_adapter", largest=1024))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def hub(figures: str) -> AsyncIterator[Rig]:
    async with rig(*(service(name) for name in NAMES)) as made:
        for name in NAMES:
            made.director.actors[name] = Actor({"main": figures})
        yield made


@pytest.fixture
async def prometheus(hub: Rig, tmp_path: Path) -> AsyncIterator[str]:
    shipped = yaml.safe_load(SHIPPED.read_text())["scrape_configs"]
    (job,) = (one for one in shipped if one["job_name"] == "on-demand")
    for rule in job["relabel_configs"]:
        if rule["target_label"] == "__address__":
            rule["replacement"] = hub.base.removeprefix("http://")
    file, port = tmp_path / "prometheus.yml", free_port()
    file.write_text(yaml.safe_dump({"global": {"scrape_interval": "200ms"}, "scrape_configs": [job]}))
    words = [
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    program = await asyncio.to_thread(promtool.tool, "prometheus")
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program, *words, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    found: Any = None
    for _ in range(600):
        try:
            found = await ask()
            if holds(found):
                return found
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def test_what_sleeps_is_up_without_figures_and_who_is_awake_has_them_and_neither_is_used(
    hub: Rig, prometheus: str, figures: str, client: aiohttp.ClientSession
) -> None:
    async def targets() -> dict[str, Any]:
        async with client.get(f"{prometheus}/api/v1/targets") as answer:
            found = (await answer.json())["data"]["activeTargets"]
        return {one["labels"]["instance"]: one for one in found}

    async def known(query: str) -> dict[str, float]:
        async with client.get(f"{prometheus}/api/v1/query", params={"query": query}) as answer:
            found = (await answer.json())["data"]["result"]
        return {one["metric"]["instance"]: float(one["value"][1]) for one in found}

    seen = await until(targets, lambda found: all(one["health"] != "unknown" for one in found.values()) and bool(found))
    assert {name: (one["health"], one["lastError"]) for name, one in seen.items()} == dict.fromkeys(NAMES, ("up", ""))
    assert await until(lambda: known("up"), lambda found: len(found) == 2) == dict.fromkeys(NAMES, 1.0)
    hub.director.wake(NAMES[0])
    await hub.seen(figures)
    before = (await hub.mesh.flows() or {})[NAMES[0]]
    counted = 'aihub_adapter_requests_total{route="/metrics",status="200"}'
    assert (await until(lambda: known(counted), bool)).keys() == {NAMES[0]}
    after = (await hub.mesh.flows() or {})[NAMES[0]]
    assert (after.total, after.active) == (before.total, 0)
    assert [hub.director.actors[name].asked for name in NAMES] == [[], []]
