"""A block that is pasted into the file of a running hub, as people write it: served at once, with nobody disturbed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.docker.conftest import MakeProject, StartHub
from tests.support.clients import Client, Tally, client
from tests.support.docker_hub import Caller, DockerHub, caller, eventually, web
from tests.support.hub import AIHUB

pytestmark = [pytest.mark.docker, pytest.mark.envoy]

SERVED_WITHIN = 5.0

FILE = """\
name: {name}

x-ai-service: &ai-service
  restart: unless-stopped
  networks: [ai-mesh]
  environment: &ai-environment
    NAME: agent
  deploy: &ai-deploy
    replicas: 0
    resources:
      limits: {{cpus: "1.0", memory: 512M}}
      reservations: {{memory: 64M}}

services:
  busy:
    image: aihub-test/web
    profiles: [on-demand]
    environment: {{NAME: busy}}
    expose: ["8080"]
    networks: [ai-mesh]
  calm:
    image: aihub-test/web
    environment: {{NAME: calm}}
    expose: ["8080"]
    networks: [ai-mesh]

networks:
  ai-mesh:
    driver: bridge
"""
BLOCK = """\
  agent:
    <<: *ai-service
    image: aihub-test/web
    expose:
      - "8080"
    volumes:
      - agent_data:/data
"""


async def test_a_pasted_block_is_served_within_seconds_and_no_request_elsewhere_fails(
    project: MakeProject, start: StartHub
) -> None:
    town = project("town")
    before = FILE.format(name=town.name)
    town.write_text(before)
    hub = start(town)
    parts, gateways = hub.pids(), hub.own_containers("aihub.gateway")
    stop, tally = asyncio.Event(), Tally()
    async with caller(town, "calm") as inside, client(hub.base) as asker, client(hub.base, keep=True) as keeper:
        load = [asyncio.create_task(go_on(one, stop, tally)) for one in (asker, keeper)]
        load.append(asyncio.create_task(stream(inside, stop)))
        await eventually(lambda: tally.total >= 20)
        after = before.replace("\nnetworks:\n  ai-mesh:", f"{BLOCK}\nvolumes:\n  agent_data:\n\nnetworks:\n  ai-mesh:")
        check(after, town.folder)
        town.write_text(after)
        begun = time.monotonic()
        await served(hub, begun)
        status, told = await inside.until_named("http://agent:8080/", SERVED_WITHIN)
        assert (status, json.loads(told["body"])["service"]) == (200, "agent")
        await asyncio.sleep(1)
        stop.set()
        await asyncio.gather(*load)
    tally.demand_all_served()
    assert tally.total > 40
    assert hub.pids() == parts
    assert set(gateways) <= set(hub.own_containers("aihub.gateway"))
    assert town.container("agent").state == "running"


def check(text: str, folder: Path) -> None:
    """As its owner does before he saves it."""
    draft = folder / "draft.yml"
    draft.write_text(text)
    done = subprocess.run([AIHUB, "check", draft, "--driver", "docker"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


async def served(hub: DockerHub, begun: float) -> None:
    """By the path, without a word to the hub: until then there is no such address, or the caller shall come again."""
    status, headers, body = await asyncio.to_thread(hub.ask, "/api/agent/")
    while status == 404 or b"just-added" in body:
        assert time.monotonic() - begun < SERVED_WITHIN, body
        await asyncio.sleep(0.05)
        status, headers, body = await asyncio.to_thread(hub.ask, "/api/agent/")
    assert status == 200, (status, headers, body)
    assert json.loads(body)["service"] == "agent"
    assert time.monotonic() - begun < SERVED_WITHIN


async def go_on(asker: Client, stop: asyncio.Event, tally: Tally) -> None:
    while not stop.is_set():
        tally.add(await asker.get("busy"))
        await asyncio.sleep(0.02)


async def stream(inside: Caller, stop: asyncio.Event) -> None:
    """Calls by name that follow each other, and a stream that lasts over all of it."""
    numbers = [line async for line in inside.lines("http://busy:8080/stream?seconds=6&every=0.05")]
    assert numbers == [f"tick {number}" for number in range(len(numbers))]
    assert len(numbers) > 60
    while not stop.is_set():
        assert (await inside.peer("http://busy:8080/"))[0] == 200


async def test_what_failed_by_a_fault_in_the_file_is_tried_at_once_when_that_is_mended(
    project: MakeProject, start: StartHub
) -> None:
    shop = project("shop")
    good = {"first": web("first"), "second": web("second", depends_on=["first"])}
    shop.write(good)
    hub = start(shop, lazy="all")
    shop.write_text("services: {first: {image: [}}\n")
    for _ in range(3):
        # Compose makes no container from such a file, and `wake` goes past the back-off.
        told = await asyncio.to_thread(hub.cli, "wake", "first")
        assert told.returncode == 1
        assert "its container cannot be made" in told.stderr
        assert "first: first:" not in told.stderr
    shop.write(good)
    await eventually(lambda: hub.command_api("GET", "/v1/status")["catalog"]["fault"] is None)
    assert (await asyncio.to_thread(hub.ask, "/api/first/"))[0] == 200, hub.said()
