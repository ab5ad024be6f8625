"""A service at its path, its host and its port; what it says of itself is mapped back to where it is seen."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import aiohttp
import pytest

from services.catalog.model import Catalog, Containers, Port, Publish, Service
from tests.e2e.mesh.conftest import NAME, service
from tests.support.curl import curl
from tests.support.envoy import Actor, Echo, Rig, eventually, rig
from tests.support.ports import free_port

pytestmark = pytest.mark.envoy


@pytest.fixture
async def hub(upstream: Echo) -> AsyncIterator[Rig]:
    web = service("web", web=True)
    inner = replace(service("inner"), path=f"/api/{NAME}/inner")
    silent = replace(service("silent"), ports=(), publishes=())
    two = service("two", ports=(Port("main", 1), Port("other", 2)), publishes=(Publish("other", "", free_port()),))
    async with rig(service(), web, inner, silent, two) as made:
        for actor in made.director.actors.values():
            actor.endpoints = {"main": upstream.endpoint, "other": upstream.endpoint}
        yield made


def own(hub: Rig, name: str = NAME) -> str:
    return f"http://127.0.0.1:{hub.catalog.services[name].publishes[0].number}"


async def test_path_host_and_port_lead_to_the_same_service(
    hub: Rig, upstream: Echo, client: aiohttp.ClientSession, api: str
) -> None:
    hosted = {"Host": f"{NAME}.localhost:{hub.edge.port}"}
    for url, headers, path in (
        (f"{api}/a", {}, "/a"),
        (api, {}, "/"),
        (f"{api}?q=1", {}, "/?q=1"),
        (f"{hub.base}/b", hosted, "/b"),
        (f"{own(hub)}/c", {}, "/c"),
        (f"{own(hub)}/d", {"Host": "localhost:4711"}, "/d"),
        (f"{own(hub)}/e", hosted, "/e"),
    ):
        async with client.get(url, headers=headers) as answer:
            assert answer.status == 200, (url, await answer.text())
            body = await answer.json()
            assert body["path"] == path
            assert body["headers"].get("x-forwarded-prefix") == (f"/api/{NAME}" if url.startswith(api) else None)


async def test_another_port_of_a_service_is_asked_for_by_name(hub: Rig, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{own(hub, 'two')}/x") as answer:
        assert answer.status == 200, await answer.text()
    assert [request.port for request in hub.director.actors["two"].asked] == ["other"]


async def test_a_connection_to_a_port_that_went_to_another_service_is_closed_with_its_next_answer(hub: Rig) -> None:
    services = dict(hub.catalog.services)
    one, other = services[NAME], services["web"]
    number = one.publishes[0].number
    async with aiohttp.ClientSession() as client:  # one connection, kept open
        async with client.get(f"http://127.0.0.1:{number}/a") as answer:
            assert answer.status == 200
        services[NAME] = replace(one, publishes=other.publishes)
        services["web"] = replace(other, publishes=one.publishes)
        hub.mesh.configure(replace(hub.catalog, services=services))
        asked = hub.director.actors["web"].asked
        statuses = []
        while not asked:
            async with client.get(f"http://127.0.0.1:{number}/b") as answer:
                statuses.append(answer.status)
            assert len(statuses) < 100, statuses
            await asyncio.sleep(0.01)
    assert set(statuses) <= {200, 421}


async def test_a_longer_path_of_another_service_does_not_hide_ours(hub: Rig, client: aiohttp.ClientSession) -> None:
    for path, name, seen in (
        (f"/api/{NAME}/inner/x", "inner", "/x"),
        (f"/api/{NAME}/inner", "inner", "/"),
        (f"/api/{NAME}/innermost", NAME, "/innermost"),
    ):
        before = len(hub.director.actors[name].asked)
        hub.director.actors[name].state = "stopped"
        async with client.get(hub.base + path) as answer:
            assert (await answer.json())["path"] == seen
        await _at_rest(hub, name)
        assert len(hub.director.actors[name].asked) == before + 1


async def _at_rest(hub: Rig, name: str) -> None:
    await hub.director.rest(name)


async def test_what_is_not_there_is_not_found(hub: Rig, client: aiohttp.ClientSession, upstream: Echo) -> None:
    for path in ("/api/nobody/x", f"/api/{NAME}x", "/api", "/", "/nowhere", "/api/silent/"):
        async with client.get(hub.base + path) as answer:
            assert answer.status == 404, path
            assert "/api/health" in (await answer.json())["error"]["message"]
    assert upstream.seen == []


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "8.8.8.8", "", "nobody.localhost"])
async def test_an_unknown_host_is_misdirected(hub: Rig, upstream: Echo, host: str) -> None:
    ports = [f"{hub.base}/api/{NAME}/x"]
    if host != "nobody.localhost":  # any of these names is this machine's own, and the port says which service
        ports.append(f"{own(hub)}/x")
    for url in ports:
        answer = await curl(url, "-H", f"Host: {host}" if host else "Host;")
        assert answer.status in ((400, 421) if not host else (421,)), answer.text
        assert answer.status == 400 or "/api/health" in answer.text
    assert upstream.seen == []


async def test_what_comes_to_a_port_that_compose_published_goes_on_as_it_came(upstream: Echo) -> None:
    """Paths with meaning of their own, and what a proxy before it says of its clients."""
    sent = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example.org", "X-Forwarded-For": "203.0.113.7"}
    flags = [word for key, value in sent.items() for word in ("-H", f"{key}: {value}")]
    async with rig(service(containers=Containers("shop", NAME))) as hub:
        hub.director.actors[NAME] = Actor({"main": upstream.endpoint})
        for _ in ("cold", "warm"):
            seen = (await curl(f"{own(hub)}/a%2Fb//c/../d?q=%20", *flags)).json
            assert seen["raw"] == "/a%2Fb//c/../d?q=%20"
            headers = seen["headers"]
            assert headers["x-forwarded-proto"] == "https"
            assert headers["x-forwarded-host"] == "shop.example.org"
            assert headers["x-forwarded-for"].startswith("203.0.113.7,")
        plain = (await curl(f"{own(hub)}/")).json["headers"]
        assert (plain["x-forwarded-proto"], plain["x-forwarded-host"]) == ("http", plain["host"])


async def test_a_port_that_compose_published_answers_by_every_name_and_on_both_families(upstream: Echo) -> None:
    """As the container did: a proxy that passes on the Host it was asked for, another machine that knows this one by a
    name of its own."""
    port = free_port()
    shop = replace(service(containers=Containers("shop", NAME)), publishes=(Publish("main", "", port),))
    async with rig(shop) as hub:
        hub.director.actors[NAME] = Actor({"main": upstream.endpoint})
        for url in (f"http://127.0.0.1:{port}/x", f"http://[::1]:{port}/x"):
            for host in ("shop.example.org", "nas", f"nas.lan:{port}", f"{NAME}.localhost"):
                answer = await curl(url, "-H", f"Host: {host}", "-H", f"Origin: http://{host}")
                await hub.director.rest(NAME)  # the next one wakes it
                assert (answer.status, answer.json["headers"]["host"]) == (200, host), url
        seen = (await curl(f"http://127.0.0.1:{port}/x")).json["headers"]
        assert ":" not in seen["x-forwarded-for"], "an address of IPv4 in the form of IPv6"
        assert (await curl(f"{hub.base}/api/{NAME}/x", "-H", "Host: nas")).status == 421, "the edge is another matter"


async def test_a_bare_address_is_known_where_we_listen_on_all(hub: Rig) -> None:
    url = f"{own(hub, 'two')}/x"
    assert (await curl(url, "-H", "Host: 192.168.1.7:99")).status == 200
    assert (await curl(url, "-H", "Host: evil.example")).status == 421


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("/x?y=1#z", "/api/echo/x?y=1#z"),
        ("/", "/api/echo/"),
        ("/api/echo/x", "/api/echo/x"),
        ("/api/echoes", "/api/echo/api/echoes"),
        ("x/y", "x/y"),
        ("//other.example/x", "//other.example/x"),
        ("https://other.example/x", "https://other.example/x"),
        ("http://127.0.0.1:{port}/x", "http://127.0.0.1:{port}/api/echo/x"),
        ("http://localhost:{port}", "http://localhost:{port}/api/echo/"),
        ("http://localhost:1/x", "http://localhost:1/x"),
    ],
)
async def test_a_location_is_mapped_back_to_the_path(
    hub: Rig, client: aiohttp.ClientSession, api: str, said: str, seen: str
) -> None:
    said, seen = (text.replace("{port}", str(hub.edge.port)) for text in (said, seen))
    for url, wanted in ((api, seen), (own(hub), said)):
        async with client.get(f"{url}/moved", params={"location": said}, allow_redirects=False) as answer:
            assert answer.status == 302
            assert answer.headers["location"] == wanted


async def test_the_paths_of_cookies_are_mapped_back(hub: Rig, client: aiohttp.ClientSession, api: str) -> None:
    said = ["a=1; Path=/; HttpOnly", "b=2; path=/sub", "c=3", "d=4;Path=/api/echo/x", "e=Path=/"]
    seen = ["a=1; Path=/api/echo/; HttpOnly", "b=2; path=/api/echo/sub", "c=3", "d=4;Path=/api/echo/x", "e=Path=/"]
    for url, wanted in ((api, seen), (own(hub), said)):
        query = [("set-cookie", text) for text in said]
        async with client.get(f"{url}/moved", params=query) as answer:
            assert answer.headers.getall("set-cookie") == wanted


async def test_a_browser_is_sent_on_to_the_origin_of_a_service_with_pages(
    hub: Rig, client: aiohttp.ClientSession
) -> None:
    navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none", "Accept": "text/html,*/*"}
    old = {"Accept": "text/html,*/*"}
    for headers in (navigation, old):
        for path, wanted in (("/a/b?c=d", "/a/b?c=d"), ("", "/")):
            async with client.get(f"{hub.base}/api/web{path}", headers=headers, allow_redirects=False) as answer:
                assert answer.status == 302
                assert answer.headers["location"] == f"http://web.localhost:{hub.edge.port}{wanted}"
    assert hub.director.actors["web"].asked == []


async def test_programs_and_forms_are_not_sent_on(hub: Rig, client: aiohttp.ClientSession) -> None:
    fetching = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    for method, headers in (("GET", {"Accept": "*/*"}), ("GET", fetching), ("POST", {"Sec-Fetch-Mode": "navigate"})):
        async with client.request(method, f"{hub.base}/api/web/x", headers=headers, allow_redirects=False) as answer:
            assert answer.status == 200, (method, headers)


async def test_the_hub_keeps_one_path_on_every_origin_and_it_wakes_nothing(
    hub: Rig, client: aiohttp.ClientSession, upstream: Echo
) -> None:
    for url, headers in (
        (f"{own(hub)}/.hub/state", {}),
        (f"{hub.base}/.hub/state", {"Host": f"{NAME}.localhost:{hub.edge.port}"}),
    ):
        async with client.get(url, headers={**headers, "X-Lazy-Service": "web"}) as answer:
            assert (await answer.json())["service"] == NAME
    assert hub.hub_saw == [("/.hub/state", NAME)] * 2
    assert hub.director.actors[NAME].asked == []
    assert upstream.seen == []


async def test_the_console_has_an_origin_and_a_folder_of_its_own(hub: Rig) -> None:
    await curl(f"{hub.base}/v1/status", "-H", f"Host: hub.localhost:{hub.edge.port}", "-H", "X-Lazy-Service: echo")
    assert hub.hub_saw == [("/.hub/console/v1/status", None)]


@pytest.mark.parametrize("hosts", [("127.0.0.1", "::1"), ("0.0.0.0", "::"), ("127.0.0.1", "127.0.0.2")])
async def test_one_number_at_two_addresses_answers_at_both(upstream: Echo, hosts: tuple[str, str]) -> None:
    port = free_port()
    publishes = tuple(Publish("main", host, port) for host in hosts)
    async with rig(replace(service(containers=Containers("shop", NAME)), publishes=publishes)) as hub:
        hub.director.actors[NAME] = Actor({"main": upstream.endpoint})
        for host in hosts:
            address = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)
            assert (await curl(f"http://{address}:{port}/x")).status == 200, host


async def test_a_port_follows_its_entry_to_another_address(upstream: Echo) -> None:
    port = free_port()
    shop = service(containers=Containers("shop", NAME))

    def at(*hosts: str) -> Service:
        return replace(shop, publishes=tuple(Publish("main", host, port) for host in hosts))

    async with rig(at("127.0.0.1")) as hub:
        watching = asyncio.create_task(hub.mesh.watch_ports())
        for hosts, wanted in (
            (("",), ["127.0.0.1", "::1"]),
            (("127.0.0.1",), ["127.0.0.1"]),
            (("0.0.0.0", "::"), ["127.0.0.1", "::1"]),
            (("::1",), ["::1"]),
            (("127.0.0.1", "::1"), ["127.0.0.1", "::1"]),
        ):
            hub.mesh.configure(Catalog({NAME: at(*hosts)}))
            await eventually(partial(_is_answered_at, wanted, port))
        watching.cancel()
        await asyncio.wait({watching})


def _is_answered_at(wanted: list[str], port: int) -> bool:
    return [address for address in ("127.0.0.1", "::1") if _listens(address, port)] == wanted


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
