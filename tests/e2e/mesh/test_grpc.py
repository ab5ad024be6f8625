"""gRPC through a port of its own, cold and warm: unary and streaming calls, trailers, errors, the hold's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpclib.client import Channel, StreamStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from services.catalog.model import Port, Protocol, Publish, Wake
from tests.e2e.mesh.conftest import service
from tests.support.envoy import Actor, Rig, rig
from tests.support.ports import free_port

pytestmark = pytest.mark.envoy


class Words:
    """`Say` answers once, `Talk` answers each message, `Fail` fails with a status of its own."""

    def __mapping__(self) -> Mapping[str, Handler]:
        return {
            "/Words/Say": Handler(self._say, Cardinality.UNARY_UNARY, StringValue, StringValue),
            "/Words/Talk": Handler(self._talk, Cardinality.STREAM_STREAM, StringValue, StringValue),
            "/Words/Fail": Handler(self._fail, Cardinality.UNARY_UNARY, StringValue, StringValue),
        }

    async def _say(self, stream: Any) -> None:
        message = await stream.recv_message()
        await stream.send_initial_metadata(metadata={"x-first": "1"})
        await stream.send_message(StringValue(value=f"said {message.value}"))
        await stream.send_trailing_metadata(metadata={"x-last": "2"})

    async def _talk(self, stream: Any) -> None:
        async for message in stream:
            await stream.send_message(StringValue(value=f"heard {message.value}"))

    async def _fail(self, stream: Any) -> None:
        await stream.recv_message()
        raise GRPCError(Status.FAILED_PRECONDITION, "not today")


class Caller:
    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.channel = Channel(host, port)
        self.say = UnaryUnaryMethod(self.channel, "/Words/Say", StringValue, StringValue)
        self.talk = StreamStreamMethod(self.channel, "/Words/Talk", StringValue, StringValue)
        self.fail = UnaryUnaryMethod(self.channel, "/Words/Fail", StringValue, StringValue)


@pytest.fixture
async def words() -> AsyncIterator[str]:
    server = Server([Words()])
    port = free_port()
    await server.start("127.0.0.1", port)
    yield f"127.0.0.1:{port}"
    server.close()
    await server.wait_closed()


@pytest.fixture
async def hub(words: str) -> AsyncIterator[Rig]:
    ports = (Port("main", 6333), Port("grpc", 6334, Protocol.H2C))
    own = (Publish("grpc", "127.0.0.1", free_port()),)
    async with rig(replace(service("qdrant"), ports=ports, publishes=own, wake=Wake(hold=0.3))) as made:
        made.director.actors["qdrant"] = Actor({"main": words, "grpc": words})
        yield made


@pytest.fixture
async def caller(hub: Rig) -> AsyncIterator[Caller]:
    made = Caller(hub.catalog.services["qdrant"].publishes[0].number)
    yield made
    made.channel.close()


@pytest.mark.parametrize("cold", [True, False])
async def test_a_call_and_its_trailers_come_through(hub: Rig, caller: Caller, cold: bool) -> None:
    if not cold:
        hub.director.wake("qdrant")
    async with caller.say.open() as stream:
        await stream.send_message(StringValue(value="hello"), end=True)
        await stream.recv_initial_metadata()
        message = await stream.recv_message()
        await stream.recv_trailing_metadata()
        assert message is not None
        assert message.value == "said hello"
        assert stream.initial_metadata is not None
        assert stream.initial_metadata["x-first"] == "1"
        assert stream.trailing_metadata is not None
        assert stream.trailing_metadata["x-last"] == "2"


@pytest.mark.parametrize("cold", [True, False])
async def test_calls_to_the_services_host_reach_the_port_that_speaks_grpc(hub: Rig, cold: bool) -> None:
    if not cold:
        hub.director.wake("qdrant")
    caller = Caller(hub.edge.port)
    # The library writes the address it connects to; the host that people use is what shall decide here.
    caller.channel._authority = "qdrant.localhost"
    try:
        answer = await caller.say(StringValue(value="hello"))
        assert answer is not None
        assert answer.value == "said hello"
        assert {asked.port for asked in hub.director.actors["qdrant"].asked} <= {"grpc"}
    finally:
        caller.channel.close()


@pytest.mark.parametrize("cold", [True, False])
async def test_both_sides_talk_in_turns(hub: Rig, caller: Caller, cold: bool) -> None:
    if not cold:
        hub.director.wake("qdrant")
    async with asyncio.timeout(10), caller.talk.open() as stream:
        for word in ("a", "b", "c"):
            await stream.send_message(StringValue(value=word))
            message = await stream.recv_message()
            assert message is not None
            assert message.value == f"heard {word}"
        await stream.end()
        assert await stream.recv_message() is None


@pytest.mark.parametrize("cold", [True, False])
async def test_an_error_keeps_its_status(hub: Rig, caller: Caller, cold: bool) -> None:
    if not cold:
        hub.director.wake("qdrant")
    with pytest.raises(GRPCError) as caught:
        await caller.fail(StringValue(value="x"))
    assert (caught.value.status, caught.value.message) == (Status.FAILED_PRECONDITION, "not today")


async def test_the_hold_ends_as_unavailable_with_the_reason(hub: Rig, caller: Caller) -> None:
    hub.director.actors["qdrant"].wakes_after = None
    with pytest.raises(GRPCError) as caught:
        await caller.say(StringValue(value="x"))
    assert caught.value.status is Status.UNAVAILABLE
    assert caught.value.message == "qdrant is still starting"


async def test_a_failed_start_is_unavailable_too(hub: Rig, caller: Caller) -> None:
    hub.director.actors["qdrant"].fails = "exit code 1"
    with pytest.raises(GRPCError) as caught:
        await caller.say(StringValue(value="x"))
    assert (caught.value.status, caught.value.message) == (Status.UNAVAILABLE, "exit code 1")
    assert hub.director.actors["qdrant"].asked[0].port == "grpc"
