"""The gateways: one ADS stream each, kept at the newest snapshot, and who of them has acknowledged what.

Owns the gRPC server. It runs on a listening socket that outlives it, so a gateway that comes while the scaler is away
waits in the backlog. Only endpoints are served here; clusters, routes and listeners are files.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from envoy.config.core.v3 import address_pb2, health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.wrappers_pb2 import UInt32Value
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Server, Stream

from services.scaler.mesh.base import OnGateway
from services.scaler.mesh.snapshot import Assignment, Snapshot
from services.scaler.mesh.subscription import Answer, Asked, Subscription

log = logging.getLogger(__name__)

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_PATIENCE = 0.25
"""Seconds to wait for an acknowledgement before the next answer goes out without it."""
_BACKLOG = 64
# As long as one endpoint of priority 0 is well, all traffic stays there: without this, one of two ejected would send
# a third of the requests through the gate.
_OVERPROVISIONING = 100_000


class Gateway:
    """One Envoy that has a stream open."""

    def __init__(self, node: str, gate: str, epoch: int) -> None:
        self.node = node
        self.gate = gate
        """Socket of its own gate: what is asleep goes there."""
        self.epoch = epoch
        self.subscription = Subscription(epoch)

    def __str__(self) -> str:
        return f"{self.node}#{self.epoch}"


class Gateways:
    """`gate_of`: path of a gateway's gate by its name, None where no gateway has that name. `on_gateway` is told of the
    first to come and the last to go."""

    def __init__(self, gate_of: Callable[[str], str | None], on_gateway: OnGateway) -> None:
        self._gate_of = gate_of
        self._on_gateway = on_gateway
        self._epochs = itertools.count(1)
        self._live: dict[int, Gateway] = {}
        self._snapshot = Snapshot()
        self._news: set[asyncio.Event] = set()
        self._acks = asyncio.Condition()
        self._server: _Server | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def live(self) -> tuple[Gateway, ...]:
        return tuple(self._live.values())

    async def serve(self, sock: socket.socket) -> None:
        self._server = _Server(_Service(self._stream))
        await self._server.start(sock=sock, backlog=_BACKLOG)

    async def close(self) -> None:
        """Streams are cut: Envoy keeps what it has and comes back."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def push(self, snapshot: Snapshot) -> None:
        """Serve this snapshot from now on. What was changed before a stream's task runs goes out in one answer."""
        self._snapshot = snapshot
        for news in self._news:
            news.set()

    async def settled(self, wanted: Mapping[str, int], limit: float) -> bool:
        """Wait until every live gateway has each cluster as of its serial, `limit` seconds at most. A gateway that
        goes away is not waited for. Returns whether they have."""

        def done() -> bool:
            return all(gateway.subscription.settled(wanted) for gateway in self._live.values())

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit), self._acks:
                await self._acks.wait_for(done)
        return done()

    async def _stream(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        if request is None:
            return
        gate = self._gate_of(request.node.id)
        if gate is None:
            log.error("a gateway calls itself %r, which is no name of ours: it is not served", request.node.id)
            raise GRPCError(Status.INVALID_ARGUMENT, "no gateway of this hub has that node id")
        gateway = Gateway(request.node.id, gate, next(self._epochs))
        news = asyncio.Event()
        self._news.add(news)
        self._enter(gateway)
        sender = asyncio.ensure_future(self._send(gateway, news, stream))
        try:
            while request is not None:
                self._receive(gateway, request)
                news.set()
                await self._tell_acks()
                request = await stream.recv_message()
        except (StreamTerminatedError, ConnectionError):
            pass
        finally:
            self._news.discard(news)
            sender.cancel()
            self._leave(gateway)
            with contextlib.suppress(asyncio.CancelledError):
                await self._tell_acks()

    def _receive(self, gateway: Gateway, request: Any) -> None:
        if request.type_url != _TYPE:
            log.warning("gateway %s asks for %s, which is not served", gateway, request.type_url)
            return
        error = request.error_detail.message if request.HasField("error_detail") else None
        asked = Asked(
            tuple(request.resource_names_subscribe),
            tuple(request.resource_names_unsubscribe),
            dict(request.initial_resource_versions),
            request.response_nonce,
            error,
        )
        refused = gateway.subscription.receive(asked)
        if refused is not None:
            names = ", ".join(a.cluster for a in refused.assignments[:5])
            log.error("gateway %s refused the endpoints of %s: %s", gateway, names, error)

    async def _send(self, gateway: Gateway, news: asyncio.Event, stream: Stream[Any, Any]) -> None:
        with contextlib.suppress(StreamTerminatedError, ConnectionError):
            while True:
                await news.wait()
                news.clear()
                answer = gateway.subscription.due(self._snapshot)
                await self._tell_acks()
                if answer is None:
                    continue
                await stream.send_message(_message(answer, gateway.gate))
                await self._acknowledged(gateway)
                news.set()

    async def _acknowledged(self, gateway: Gateway) -> None:
        """What changes meanwhile is gathered into the next answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE), self._acks:
                await self._acks.wait_for(lambda: gateway.subscription.unanswered == 0)

    async def _tell_acks(self) -> None:
        async with self._acks:
            self._acks.notify_all()

    def _enter(self, gateway: Gateway) -> None:
        self._live[gateway.epoch] = gateway
        log.info("gateway %s connected", gateway)
        if len(self._live) == 1:
            self._on_gateway(True)

    def _leave(self, gateway: Gateway) -> None:
        del self._live[gateway.epoch]
        log.info("gateway %s is gone", gateway)
        if not self._live:
            self._on_gateway(False)


class _Server(Server):  # type: ignore[misc]  # the library is untyped here
    """Closes its connections too: a gateway that kept one would go on asking a mesh that is gone."""

    def __init__(self, service: _Service) -> None:
        super().__init__([service])
        self._protocols: WeakSet[Any] = WeakSet()

    def _protocol_factory(self) -> Any:
        protocol = super()._protocol_factory()
        self._protocols.add(protocol)
        return protocol

    def close(self) -> None:
        super().close()
        for protocol in self._protocols:
            if hasattr(protocol, "connection"):
                protocol.connection.close()


class _Service:
    """What grpclib asks of a service; the generated code would import another gRPC library."""

    def __init__(self, stream: Callable[[Stream[Any, Any]], Any]) -> None:
        self._stream = stream

    def __mapping__(self) -> Mapping[str, Handler]:
        request, response = discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse
        return {_METHOD: Handler(self._stream, Cardinality.STREAM_STREAM, request, response)}


def _message(answer: Answer, gate: str) -> Any:
    message = discovery_pb2.DeltaDiscoveryResponse(
        type_url=_TYPE, nonce=answer.nonce, system_version_info=str(answer.serial)
    )
    for assignment in answer.assignments:
        resource = message.resources.add(name=assignment.cluster, version=assignment.version)
        resource.resource.Pack(_load(assignment, gate))
    return message


def _load(assignment: Assignment, gate: str) -> Any:
    load = endpoint_pb2.ClusterLoadAssignment(cluster_name=assignment.cluster)
    load.policy.overprovisioning_factor.CopyFrom(UInt32Value(value=_OVERPROVISIONING))
    real = load.endpoints.add(priority=0)
    for endpoint in assignment.endpoints:
        host, _, port = endpoint.address.rpartition(":")
        place = address_pb2.SocketAddress(address=host, port_value=int(port))
        real.lb_endpoints.append(_endpoint(address_pb2.Address(socket_address=place), endpoint.draining))
    if assignment.gate:
        pipe = address_pb2.Address(pipe=address_pb2.Pipe(path=gate))
        load.endpoints.add(priority=1).lb_endpoints.append(_endpoint(pipe, draining=False))
    return load


def _endpoint(address: Any, draining: bool) -> Any:
    status = health_check_pb2.DRAINING if draining else health_check_pb2.HEALTHY
    endpoint = endpoint_components_pb2.Endpoint(address=address)
    return endpoint_components_pb2.LbEndpoint(endpoint=endpoint, health_status=status)
