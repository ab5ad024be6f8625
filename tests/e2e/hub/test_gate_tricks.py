"""What a hostile or careless client may try at the edge: nothing of it reaches another service or wakes one."""

from __future__ import annotations

import json
import socket
from contextlib import suppress

import pytest

from tests.support.catalogue import Workshop
from tests.support.hub import ASLEEP, Hub
from tests.support.hub_fixtures import StartHub

pytestmark = [pytest.mark.envoy, pytest.mark.process]


@pytest.fixture
def hub(workshop: Workshop, start_hub: StartHub) -> Hub:
    return start_hub({name: workshop.upstream(name) for name in ("victim", "mine")})


def seen(body: bytes) -> dict[str, str]:
    headers: dict[str, str] = json.loads(body)["headers"]
    return headers


def test_a_destination_named_by_the_client_is_ignored_cold_and_warm(hub: Hub, workshop: Workshop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        elsewhere = f"127.0.0.1:{trap.getsockname()[1]}"
        headers = {"X-Envoy-Original-Dst-Host": elsewhere, "X-Lazy-Service": "victim"}
        for _ in ("cold", "warm"):
            status, _, body = hub.ask("/api/mine/echo-headers", headers=headers)
            assert status == 200
            # Awake, the header may reach the service as any other of the client's does; it never chooses where.
            assert seen(body).get("x-lazy-service") != "victim"
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert workshop.starts("victim") == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/mine/../victim/",
        "/api/mine/%2e%2e/victim/",
        "/api/mine/..%2fvictim/",
        "/api/mine/%2e%2e%2fvictim/",
        "/api/mine/..%5cvictim/",
        "/api/mine//../victim/",
        "/api/mine/;/../../victim/",
    ],
)
def test_a_path_never_crosses_from_one_service_to_the_inside_of_another(
    hub: Hub, workshop: Workshop, path: str
) -> None:
    status, _, body = hub.ask(path)
    if status == 200:
        # Normalised before the route is chosen, so it is plainly a request for the other service, made openly.
        assert body == b"hello from asyncio\n"
        assert workshop.starts("mine") == 0
    else:
        assert status in (307, 308, 400, 404), (status, body)
        assert workshop.starts("victim") == 0


@pytest.mark.parametrize("host", ["evil.example", "victim.evil.example", "127.0.0.1.evil.example", "victim"])
def test_an_unknown_host_is_misdirected_and_wakes_nothing(hub: Hub, workshop: Workshop, host: str) -> None:
    assert hub.ask("/api/victim/", headers={"Host": host})[0] == 421
    assert workshop.starts("victim") == 0


def test_the_known_hosts_are_served(hub: Hub) -> None:
    for host in (f"127.0.0.1:{hub.port}", f"localhost:{hub.port}", "localhost"):
        assert hub.ask("/api/mine/", headers={"Host": host})[2] == b"hello from asyncio\n"
    assert hub.ask("/", headers={"Host": f"mine.localhost:{hub.port}"})[2] == b"hello from asyncio\n"


def test_a_page_of_another_site_wakes_nothing(hub: Hub, workshop: Workshop) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": "https://evil.example"},
        {"Origin": "https://evil.example"},
    ):
        assert hub.ask("/api/victim/", headers=headers)[0] == 403
    assert workshop.starts("victim") == 0
    assert hub.state("victim") in ASLEEP


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /api/mine/echo-sha HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\nGET /api/victim/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /api/mine/echo-sha HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nabcd"
        "GET /api/victim/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /api/mine/echo-sha HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n"
        "0\r\n\r\nGET /api/victim/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/mine/ HTTP/1.1\r\nHost: localhost\r\nHost: victim.localhost\r\n\r\n",
        "GET /api/mine/ HTTP/1.1\r\n\r\n",
        "GET /api/mine/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["both lengths", "two lengths", "odd coding", "two hosts", "no host", "zero byte"],
)
def test_a_request_of_two_meanings_is_refused_and_smuggles_nothing(
    hub: Hub, workshop: Workshop, request_text: str
) -> None:
    with socket.create_connection(("127.0.0.1", hub.port), timeout=2) as connection:
        connection.sendall(request_text.encode())
        answer = b""
        # A refusal may leave the connection open: then nothing more must come.
        with suppress(TimeoutError):
            while data := connection.recv(65536):
                answer += data
    assert answer.split(b" ", 2)[1] in (b"400", b"421", b"501"), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert workshop.starts("victim") == 0


def test_http_1_0_is_served_cold_and_warm(hub: Hub) -> None:
    for _ in ("cold", "warm"):
        with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as connection:
            connection.sendall(b"GET /api/mine/ HTTP/1.0\r\n\r\n")
            answer = b""
            while data := connection.recv(65536):
                answer += data
        assert answer.endswith(b"hello from asyncio\n"), answer
