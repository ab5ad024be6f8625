"""Names inside container networks: what a neighbour calls means the gateway, and the gateway the right service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpclib.server import Server

from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog, Port, Protocol, Service, Wake
from services.scaler.core.events import DemandKind
from tests.e2e.mesh.conftest import service
from tests.e2e.mesh.test_grpc import Caller, Words
from tests.support.curl import curl
from tests.support.envoy import Actor, Echo, Rig, echo, eventually, rig
from tests.support.inner import DESK, SHOP, Inner, desk, inner, shop
from tests.support.ports import free_port

pytestmark = pytest.mark.envoy


def listening(name: str, *ports: Port | int, **fields: object) -> Service:
    made = tuple(port if isinstance(port, Port) else Port("main", port) for port in ports)
    return service(name, ports=made, publishes=(), **fields)


@asynccontextmanager
async def fleet(*services: Service, inside: tuple[InsideNetwork, ...]) -> AsyncIterator[tuple[Rig, Inner, Echo]]:
    """Each service answers as soon as it is asked for, from one upstream; the Director knows who was woken."""
    async with echo() as upstream, rig(*services) as hub:
        for made in services:
            endpoints = {port.name: upstream.endpoint for port in made.ports}
            hub.director.actors[made.name] = Actor(endpoints)
        hub.inside = inside
        hub.mesh.configure(hub.catalog, inside)
        async with inner(hub, "inner-1", "--drain-time-s", "1") as gateway:
            yield hub, gateway, upstream


async def woken(hub: Rig, url: str, **headers: str) -> str:
    """Who is woken by a request, which must be answered."""
    before = {name: len(actor.asked) for name, actor in hub.director.actors.items()}
    answer = await curl(url, *(word for key, value in headers.items() for word in ("-H", f"{key}: {value}")))
    assert answer.status == 200, answer.text
    (name,) = [name for name, actor in hub.director.actors.items() if len(actor.asked) > before.get(name, 0)]
    await hub.director.rest(name)
    return name


async def test_one_name_and_port_on_two_networks_is_two_services() -> None:
    port = free_port()
    services = (listening("shop-ollama", port), listening("desk-ollama", port))
    inside = (shop(ollama="shop-ollama"), desk(ollama="desk-ollama"))
    async with fleet(*services, inside=inside) as (hub, _, _):
        host = f"ollama:{port}"
        assert await woken(hub, f"http://{SHOP}:{port}/x", Host=host) == "shop-ollama"
        assert await woken(hub, f"http://{DESK}:{port}/x", Host=host) == "desk-ollama"
        # Whoever listens alone is meant, whatever it is called.
        for named in ("api.example.org", "localhost", f"{SHOP}:{port}"):
            assert await woken(hub, f"http://{SHOP}:{port}/x", Host=named) == "shop-ollama"


async def test_a_port_that_several_share_is_told_apart_by_host() -> None:
    port = free_port()
    services = (listening("chroma", port), listening("qdrant", port))
    inside = (shop(chroma="chroma", vectors="chroma", Qdrant="qdrant"),)
    async with fleet(*services, inside=inside) as (hub, _, _):
        url = f"http://{SHOP}:{port}/x"
        for host, name in (
            ("chroma", "chroma"),
            (f"chroma:{port}", "chroma"),
            ("vectors", "chroma"),
            (f"vectors.shop_default:{port}", "chroma"),
            (f"qdrant:{port}", "qdrant"),
            (f"Qdrant.shop_default:{port}", "qdrant"),
            ("QDRANT", "qdrant"),
        ):
            assert await woken(hub, url, Host=host) == name, host
        for host in ("other", f"{SHOP}:{port}", "chroma.desk_default", f"chroma:{port + 1}", "xchroma", "chromax"):
            answer = await curl(url, "-H", f"Host: {host}")
            assert answer.status == 421, host
            error = json.loads(answer.text)["error"]
            assert error["code"] == "misdirected"
            assert "chroma, qdrant" in error["message"]


async def test_a_neighbour_notices_no_gateway() -> None:
    """Cold and warm, the program sees what was sent: path, Host, and what a proxy in front said of its clients."""
    port = free_port()
    async with fleet(listening("app", port), inside=(shop(app="app"),)) as (_, gateway, upstream):
        sent = {
            "Host": f"app:{port}",
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "shop.example.org",
            "X-Forwarded-Prefix": "/base",
            "X_Under_Score": "1",
            "X-Lazy-Service": "other",
            "X-Envoy-Original-Dst-Host": "127.0.0.1:1",
            "X-Envoy-Upstream-Rq-Timeout-Ms": "1",
        }
        flags = [word for key, value in sent.items() for word in ("-H", f"{key}: {value}")]
        for _ in ("cold", "warm"):
            answer = await curl(f"http://{SHOP}:{port}/a%2Fb//c/../d/.hub/x?q=%20", *flags)
            assert answer.status == 200
            assert {key for key in answer.headers if key.startswith("x-")} == set()
            seen = answer.json
            assert seen["raw"] == "/a%2Fb//c/../d/.hub/x?q=%20"
            headers = seen["headers"]
            for key in ("Host", *(key for key in sent if key.startswith(("X-Forwarded", "X_")))):
                assert headers[key.lower()] == sent[key], key
            ours = {key for key in headers if key.startswith("x-envoy-")}
            assert ours <= {"x-envoy-original-dst-host"}, "what the caller said itself, or where the gate has sent it"
            await gateway.seen(upstream.endpoint)
        plain = (await curl(f"http://{SHOP}:{port}/x", "-H", f"Host: app:{port}")).json["headers"]
        assert plain.keys() == {"accept", "host", "user-agent", "x-forwarded-proto", "x-lazy-service"}


async def test_a_browser_inside_is_a_program_too() -> None:
    """Neither the waiting page nor the rule on other sites is for neighbours."""
    port = free_port()
    app = listening("app", port, wake=Wake(hold=7.0))
    async with fleet(app, inside=(shop(app="app"),)) as (hub, _, _):
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}
        assert await woken(hub, f"http://{SHOP}:{port}/", Origin="https://evil.example", **headers) == "app"
        (asked,) = hub.director.actors["app"].asked
        assert asked.kind is DemandKind.REQUEST
        assert asked.hold == pytest.approx(7.0, abs=0.1)


async def test_monitors_and_ignored_paths_wake_nothing_inside() -> None:
    port = free_port()
    app = listening("app", port, wake=Wake(ignore_paths=("/ping",), ignore_agents=("Gazer/",)))
    async with fleet(app, inside=(shop(app="app"),)) as (hub, _, upstream):
        for path, agent in (("/ping", "x"), ("/", "Prometheus/3"), ("/", "Gazer/1")):
            answer = await curl(f"http://{SHOP}:{port}{path}", "-A", agent)
            assert (answer.status, answer.text) == (200, "")
            assert "x-hub-state" in answer.headers
        assert hub.director.actors["app"].asked == []
        assert upstream.seen == []


async def test_http2_by_prior_knowledge_and_grpc_go_to_each_port_as_it_speaks() -> None:
    web, grpc = free_port(), free_port()
    app = listening("app", web, Port("grpc", grpc, Protocol.H2C))
    words = Server([Words()])
    at = free_port()
    await words.start("127.0.0.1", at)
    async with fleet(app, inside=(shop(app="app"),)) as (hub, _, upstream):
        hub.director.actors["app"].endpoints = {"main": upstream.endpoint, "grpc": f"127.0.0.1:{at}"}
        answer = await curl("--http2-prior-knowledge", f"http://{SHOP}:{web}/x")
        assert (answer.status, answer.version) == (200, "HTTP/2")
        caller = Caller(grpc, SHOP)
        assert (await caller.say(StringValue(value="warm"))).value == "said warm"
        await hub.director.rest("app")
        assert (await caller.say(StringValue(value="cold"))).value == "said cold"
        caller.channel.close()
        await eventually(lambda: hub.director.actors["app"].wakes == 2)
    words.close()
    await words.wait_closed()


async def test_plain_tcp_of_a_service_goes_through_while_it_is_awake() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"told " + await reader.readline())
        await writer.drain()
        writer.close()

    web, bolt, behind = free_port(), free_port(), free_port()
    graph = listening("graph", web, Port("bolt", bolt, Protocol.TCP))
    listener = await asyncio.start_server(talk, "127.0.0.1", behind)
    async with fleet(graph, inside=(shop(graph="graph"),)) as (hub, gateway, upstream):
        hub.director.actors["graph"].endpoints = {"main": upstream.endpoint, "bolt": f"127.0.0.1:{behind}"}
        hub.director.wake("graph")
        await gateway.seen(f"127.0.0.1:{behind}")
        reader, writer = await asyncio.open_connection(SHOP, bolt)
        writer.write(b"hello\n")
        assert await reader.readline() == b"told hello\n"
        writer.close()
    listener.close()


async def test_the_edge_is_there_as_well_by_the_hubs_own_names() -> None:
    app = listening("app", free_port(), web=True)
    async with fleet(app, inside=(shop(app="app"),)) as (hub, _, _):
        port = hub.inner_edge.port
        for host in ("envoy", f"envoy:{port}", "aihub", f"aihub:{port}", "localhost:8000", f"127.0.0.1:{port}"):
            for place in (SHOP, DESK):
                answer = await curl(f"http://{place}:{port}/api/app/x", "-H", f"Host: {host}")
                assert answer.status == 200, host
                seen = answer.json
                assert (seen["path"], seen["headers"]["x-forwarded-prefix"]) == ("/x", "/api/app")
                assert seen["headers"]["x-forwarded-host"] == host
        # Only from where a person sees the hub is there an origin to be sent to.
        navigation = ("-H", "Sec-Fetch-Mode: navigate")
        sent = await curl(f"http://{SHOP}:{port}/api/app/", "-H", "Host: localhost:8000", *navigation)
        assert (sent.status, sent.headers["location"]) == (302, f"http://app.localhost:{hub.edge.port}/")
        assert (await curl(f"http://{SHOP}:{port}/api/app/x", "-H", "Host: aihub", *navigation)).status == 200
        assert (await curl(f"http://{SHOP}:{port}/x", "-H", f"Host: app.localhost:{port}")).status == 200
        assert (await curl(f"http://{SHOP}:{port}/api/health")).json == {"services": {}}
        for host in ("elsewhere", "envoy.example.org", "app"):
            answer = await curl(f"http://{SHOP}:{port}/api/app/x", "-H", f"Host: {host}")
            assert answer.status == 421, host
        await hub.director.rest("app")
        foreign = ("-H", "Host: envoy", "-H", "Origin: https://evil.example")
        assert (await curl(f"http://{SHOP}:{port}/api/app/x", *foreign)).status == 403


async def test_a_service_on_the_hubs_own_port_is_called_by_its_name() -> None:
    async with echo() as upstream, rig(listening("app", free_port())) as hub:
        port = hub.inner_edge.port
        chroma = listening("chroma", port)
        hub.catalog = Catalog({"chroma": chroma, "app": hub.catalog.services["app"]})
        hub.director.actors |= {name: Actor({"main": upstream.endpoint}) for name in hub.catalog.services}
        hub.inside = (shop(chroma="chroma"),)
        hub.mesh.configure(hub.catalog, hub.inside)
        async with inner(hub):
            url = f"http://{SHOP}:{port}"
            answer = await curl(f"{url}/api/v2//heartbeat", "-H", f"Host: chroma:{port}", "-H", "X-Forwarded-Host: a")
            assert answer.json["raw"] == "/api/v2//heartbeat"
            assert answer.json["headers"]["x-forwarded-host"] == "a"
            assert "x-forwarded-prefix" not in answer.json["headers"]
            await hub.director.rest("chroma")
            assert await woken(hub, f"{url}/api/app/x", Host=f"envoy:{port}") == "app"
            assert await woken(hub, f"{url}/api/app/x", Host="localhost:8000") == "app"
            # The name means nothing on the other network.
            assert (await curl(f"http://{DESK}:{port}/x", "-H", "Host: chroma")).status == 421
            assert (await curl(f"{url}/x", "-H", "Host: stranger")).status == 421


async def answered(url: str, **headers: str) -> None:
    """The files are taken in one after the other."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url, headers=headers) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.01)


async def test_a_stream_is_not_cut_when_services_come_to_its_port_and_go() -> None:
    """Chains that are dropped are drained within a second here: what is still there afterwards was never touched."""
    port, other = free_port(), free_port()
    app, second, third = listening("app", port), listening("second", port), listening("third", other)
    async with fleet(app, inside=(shop(app="app"),)) as (hub, gateway, _), aiohttp.ClientSession() as client:
        upstream = hub.director.actors["app"].endpoints
        hub.director.actors |= {name: Actor(dict(upstream)) for name in ("second", "third")}
        async with client.ws_connect(f"http://{SHOP}:{port}/ws", headers={"Host": f"app:{port}"}) as stream:
            # Another on the same port of the same network, of another network, and on a port that is new.
            hub.catalog = Catalog({s.name: s for s in (app, second, third)})
            hub.mesh.configure(hub.catalog, (shop(app="app", second="second", third="third"), desk(second="second")))
            await answered(f"http://{SHOP}:{port}/x", Host="second")
            await answered(f"http://{DESK}:{port}/x")
            await answered(f"http://{SHOP}:{other}/x")
            await stream.send_str("a")
            assert await stream.receive_str(timeout=5) == "echo a"
            # All of them go again, and with each what it carried.
            async with (
                client.ws_connect(f"http://{DESK}:{port}/ws") as elsewhere,
                client.ws_connect(f"http://{SHOP}:{other}/ws") as apart,
            ):
                hub.mesh.configure(Catalog({"app": app}), (shop(app="app"),))
                for lost in (elsewhere, apart):
                    assert (await lost.receive(timeout=10)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            await stream.send_str("b")
            assert await stream.receive_str(timeout=5) == "echo b"
            assert (await hub.mesh.flows() or {})["app"].active == 1
        updated = await gateway.admin("/stats?filter=^listener_manager.listener_in_place_updated$")
        assert int(updated.rpartition(":")[2]) >= 2


async def test_a_gateway_has_nothing_to_complain_about() -> None:
    port = free_port()
    services = (listening("a", port), listening("b", port), listening("c", free_port()))
    async with fleet(*services, inside=(shop(a="a", b="b"), desk(c="c", a="a"))) as (hub, gateway, _):
        assert await woken(hub, f"http://{SHOP}:{port}/x", Host="b") == "b"
        assert [line for line in gateway.log().splitlines() if "[warning]" in line or "[error]" in line] == []
        await eventually(lambda: hub.mesh.inside_faults == ())


async def test_a_mesh_that_was_not_told_of_networks_leaves_running_gateways_alone() -> None:
    port = free_port()
    async with fleet(listening("app", port), inside=(shop(app="app"),)) as (hub, _, _):
        before = (hub.layout.envoy / "lds-inner.json").read_bytes()
        await hub.stop_control()
        hub.inside = None
        await hub.start_control()
        await eventually(lambda: hub.mesh.connected() == {"hub", "inner-1"})
        hub.mesh.prepare_gateway("inner-1")
        assert (hub.layout.envoy / "lds-inner.json").read_bytes() == before
        assert await woken(hub, f"http://{SHOP}:{port}/x") == "app"
