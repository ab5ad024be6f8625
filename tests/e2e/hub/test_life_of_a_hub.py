"""Starting, refusing a second one, ending, and coming back: the hub as one program."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import time
from pathlib import Path

import pytest

from tests.support.catalogue import Rests, Workshop
from tests.support.clients import client, together
from tests.support.hub import Hub, HubFailed
from tests.support.hub_fixtures import StartHub
from tests.support.ports import free_port

pytestmark = [pytest.mark.envoy, pytest.mark.process]


def test_a_second_hub_on_the_same_data_is_refused_with_a_clear_word(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({"svc": workshop.upstream("svc")})
    before = hub.pids()
    second = Hub(hub.folder, {"svc": workshop.upstream("svc")})
    with pytest.raises(HubFailed) as refused:
        second.up()
    assert str(hub.data) in str(refused.value)
    assert "Traceback" not in str(refused.value)
    assert hub.pids() == before
    assert hub.ask("/api/svc/")[2] == b"hello from asyncio\n"


def test_an_own_port_that_another_program_holds_is_told(workshop: Workshop, start_hub: StartHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, free = other.getsockname()[1], free_port()
        hub = start_hub(
            {
                "lost": workshop.upstream("lost", hub={"listen": taken}),
                "well": workshop.upstream("well", hub={"listen": free}),
            }
        )
        services = hub.status()["services"]
        assert services["lost"]["addresses"]["own"] is None
        assert services["well"]["addresses"]["own"] == f"http://127.0.0.1:{free}"
        told = hub.cli("doctor").stdout
    assert f"its own port 127.0.0.1:{taken} is held by" in told
    assert str(free) not in told


async def test_an_own_port_that_comes_free_is_served_within_two_seconds(
    workshop: Workshop, start_hub: StartHub
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, free = other.getsockname()[1], free_port()
        hub = start_hub(
            {
                "late": workshop.upstream("late", hub={"listen": taken}),
                "well": workshop.upstream("well", hub={"listen": free}),
            }
        )
        stays = http.client.HTTPConnection("127.0.0.1", free)
        stays.request("GET", "/")
        assert stays.getresponse().read()
        kept = stays.sock
    begun = time.monotonic()
    while True:
        try:
            assert http_get(taken)[0] == 200
            break
        except ConnectionError:
            assert time.monotonic() - begun < 3, hub.said()
            await asyncio.sleep(0.02)
    stays.request("GET", "/")
    assert stays.getresponse().read()
    assert stays.sock is kept  # its connection is the one from before
    stays.close()
    assert "held by" not in hub.cli("doctor").stdout
    assert hub.status()["services"]["late"]["addresses"]["own"] == f"http://127.0.0.1:{taken}"


def test_the_port_of_what_cannot_run_here_is_left_to_others(workshop: Workshop, start_hub: StartHub) -> None:
    port = free_port()
    far = {"image": "far", "profiles": ["on-demand"], "ports": [f"127.0.0.1:{port}:80"]}
    hub = start_hub({"svc": workshop.upstream("svc"), "far": far})
    with socket.create_server(("127.0.0.1", port)):
        assert hub.status()["services"]["far"]["addresses"]["own"] is None
        assert "held by" not in hub.cli("doctor").stdout
    status, _, body = hub.ask("/api/far/")
    assert status == 501
    assert b"x-hub.local" in body


def http_get(port: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_what_cannot_run_here_is_neither_pinned_nor_restarted(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub(
        {"svc": workshop.upstream("svc"), "far": {"image": "far", "profiles": ["on-demand"], "expose": ["80"]}}
    )
    for words in (["pin", "far"], ["restart", "far"], ["pull", "far"]):
        said = hub.cli(*words)
        assert said.returncode != 0
        assert "x-hub.local" in said.stderr
    assert hub.cli("pin", "svc", "--for", "99999999h").returncode != 0


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("box.lan", "/api/svc/", 200),
        ("box.lan:8000", "/api/svc/", 200),
        ("svc.box.lan", "/", 200),
        ("svc.other.lan", "/", 421),
        ("10.1.2.3", "/api/svc/", 421),
    ],
)
def test_a_hub_with_a_domain_answers_to_it_and_to_no_other(
    workshop: Workshop, start_hub: StartHub, host: str, path: str, status: int
) -> None:
    hub = start_hub({"svc": workshop.upstream("svc")}, domain="box.lan")
    assert hub.ask(path, headers={"Host": host})[0] == status


def test_a_hub_on_a_taken_port_is_refused_and_leaves_nothing(tmp_path: Path, workshop: Workshop) -> None:
    hub = Hub(tmp_path, {"svc": workshop.upstream("svc")})
    with socket.create_server(("127.0.0.1", hub.port)), pytest.raises(HubFailed) as refused:
        hub.up()
    assert str(hub.port) in str(refused.value)
    assert "Traceback" not in str(refused.value)
    assert hub.left() == set()


async def test_sigterm_leaves_no_process_whatever_its_services_do(workshop: Workshop, start_hub: StartHub) -> None:
    quick = Rests(idle=0.4)
    hub = start_hub(
        {
            "awake": workshop.upstream("awake"),
            "frozen": workshop.upstream("frozen", rests=quick),
            "stubborn": workshop.faulty("stubborn", "ignores-term", compose={"stop_grace_period": "1s"}),
            "parent": workshop.faulty("parent", "orphans"),
            "starting": workshop.faulty("starting", "never-ready"),
        }
    )
    async with client(hub.base) as caller:
        calls = [caller.get("awake"), caller.get("frozen"), caller.get("stubborn"), caller.get("parent")]
        (await together(calls)).demand_all_served()
        await hub.until("frozen", "paused")
        held = asyncio.create_task(caller.get("starting"))
        await hub.until("starting", "starting")
        await asyncio.to_thread(hub.down)
        assert not (await held).ok
    assert hub.left() == set()


async def test_down_by_command_ends_a_hub_in_the_foreground(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({"svc": workshop.upstream("svc")})
    assert hub.ask("/api/svc/")[0] == 200
    assert hub.cli("down").returncode == 0
    hub.down()
    assert hub.left() == set()


async def test_a_hub_comes_up_again_on_its_own_data(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({"svc": workshop.upstream("svc")})
    assert hub.ask("/api/svc/")[0] == 200
    hub.down()
    hub.up()
    assert hub.ask("/api/svc/")[2] == b"hello from asyncio\n"
    assert workshop.starts("svc") == 2


async def test_no_file_descriptor_of_the_hub_reaches_a_service(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({"svc": workshop.upstream("svc")})
    assert hub.ask("/api/svc/")[0] == 200
    pid = hub.replicas("svc")[0]["pid"]
    links = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    assert [link for link in links if "run/" in link or "lock" in link] == []
    names = {item.split(b"=")[0] for item in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}
    # The mark by which a replica is known again says nothing of the hub.
    assert {name for name in names if name.startswith(b"AIHUB")} <= {b"AIHUB_REPLICA"}
