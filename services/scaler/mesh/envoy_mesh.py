"""The mesh as the layer above sees it: Envoy's files, its streams, its gate and its counters put together."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from services.catalog.addresses import DOMAIN, Edge
from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog
from services.layout import Layout
from services.scaler.core.effects import Refuse
from services.scaler.core.events import Flow, ReplicaId
from services.scaler.mesh import own_ports
from services.scaler.mesh.ads import Gateways
from services.scaler.mesh.answers import AnswerCache
from services.scaler.mesh.base import Demands, OnGateway
from services.scaler.mesh.check import CheckEndpoint, Known
from services.scaler.mesh.config.common import Place
from services.scaler.mesh.config.inside import HUB_NAMES
from services.scaler.mesh.endpoints import Published
from services.scaler.mesh.envoy_admin import NoAnswer
from services.scaler.mesh.envoy_counters import Counts, read_flows
from services.scaler.mesh.envoy_files import EnvoyFiles
from services.scaler.mesh.gateway_folders import GatewayFolders
from services.scaler.mesh.held import HeldChecks
from services.scaler.mesh.resting import Resting
from services.scaler.mesh.traffic import Traffic
from services.scaler.mesh.witnesses import Witnesses

log = logging.getLogger(__name__)

INNER_EDGE = Edge("0.0.0.0", 8000)
"""In a container of its own; what is on its networks may use the hub as the host does."""


class EnvoyMesh:
    """Implements `base.Mesh`. `configure` before `serve`; both again at will, `close` once."""

    def __init__(
        self,
        layout: Layout,
        edge: Edge,
        demands: Demands,
        on_gateway: OnGateway,
        *,
        concurrency: int = 1,
        tls: tuple[str, str] | None = None,
        domain: str | None = None,
        inner_edge: Edge = INNER_EDGE,
    ) -> None:
        """`concurrency`: Envoy's workers. `tls`: files of certificate chain and key for the edge. `domain`: services
        are `NAME.DOMAIN` besides `NAME.localhost`. `inner_edge`: where inner gateways listen; every port of theirs is
        bound at its host."""
        self._place = Place(
            edge,
            str(layout.envoy),
            str(layout.gate_socket),
            str(layout.check_socket),
            str(layout.ads_socket),
            str(layout.admin_socket),
            str(layout.envoy_admin_socket),
            workers=concurrency,
            # Said once more it would be twice in the routes, which Envoy refuses.
            domain=None if domain == DOMAIN else domain,
            tls=tls,
            ipv6=own_ports.has_ipv6(),
        )
        self._folders = GatewayFolders(layout)
        self._files = EnvoyFiles(self._place, self._folders, inner_edge)
        self._inner_port = inner_edge.port
        self._catalog = Catalog()
        self._own_ports: tuple[own_ports.Address, ...] = ()
        self._may_be_left = asyncio.Event()
        self._held = HeldChecks(demands)
        self._answers = AnswerCache()
        self._gateways = Gateways(self._folders.gate, on_gateway)
        self._witnesses = Witnesses(self._gateways, self._folders)
        self._resting = Resting(self._gateways, self._witnesses, self._held, self._renew)
        self._check = CheckEndpoint(demands, self._held, self._answers)
        self._traffic = Traffic()

    async def serve(self, check_sock: socket.socket, ads_sock: socket.socket) -> None:
        """Serve on two listening sockets, which are closed with the mesh; the supervisor's own copies stay open."""
        await self._check.serve(check_sock)
        await self._gateways.serve(ads_sock)

    async def close(self) -> None:
        """Cut streams and held checks: Envoy goes on with what it has, and asks again when somebody serves anew."""
        await self._gateways.close()
        await self._check.close()
        self._held.close()
        await self._answers.close()
        await self._witnesses.close()

    # -- gateways ----------------------------------------------------------------------------------------------------

    @property
    def inside_faults(self) -> tuple[str, ...]:
        """What of the last `configure` could not be served inside, a sentence each."""
        return self._files.faults

    def connected(self) -> frozenset[str]:
        """Names of the gateways that have a stream."""
        return frozenset(gateway.node for gateway in self._gateways.live)

    async def gateway_ready(self, name: str) -> bool:
        """Whether the gateway serves its listeners and knows of endpoints. Asks, and waits for nothing."""
        # With no cluster there is nothing to have a stream for.
        known = name in self.connected() or not self._catalog.services
        return known and await self._witnesses.ready(name)

    def prepare_gateway(self, name: str) -> Path:
        """Make the folder of an inner gateway, `inner-1` to `inner-99`, and everything it reads. Returns its bootstrap.

        Idempotent. A name may be given anew only when the gateway that had it has ended and `drop_gateway` was called:
        two of one name cannot be told apart, and nothing rests then. Raises ValueError for another name, OSError.
        """
        return self._files.prepare(name)

    async def drop_gateway(self, name: str) -> None:
        """Remove the folder of an inner gateway that has ended. Raises ValueError for a name that is none of theirs."""
        self._folders.remove(name)
        await self._witnesses.forget(name)

    # -- verbs of the control loop -----------------------------------------------------------------------------------

    def configure(
        self,
        catalog: Catalog,
        inside: Sequence[InsideNetwork] | None = None,
        *,
        portless: Collection[str] | None = None,
    ) -> None:
        """`inside`: the networks where inner gateways have names of services, each once; a mesh that was never told
        leaves running inner gateways as they are. `portless`: services whose own ports are left to others. None: as
        before. Raises OSError where the files cannot be written."""
        self._catalog = catalog
        origins = (*hub_origins(catalog, self._place), *(f"http://{name}:{self._inner_port}" for name in HUB_NAMES))
        self._check.known = Known(catalog, frozenset(origins))
        self._resting.configure(catalog)
        self._files.configure(catalog, inside, portless)
        self._own_ports = own_ports.wanted_ports(self._files.ported, ipv6=self._place.ipv6)

    async def watch_ports(self) -> None:
        """See to it that the edge takes own ports when others give them up; ends when cancelled."""
        await own_ports.watch(lambda: self._own_ports, self._files.offer_listeners, self._may_be_left)

    def publish(self, replica: ReplicaId, service: str, endpoints: Mapping[str, str]) -> None:
        self._resting.publish(replica, service, endpoints)
        if service in self._catalog.services:
            self._answers.renew_soon(self._catalog.services[service], endpoints)

    async def drain(self, replica: ReplicaId, *, despite_silent: bool = False) -> None:
        await self._resting.drain(replica, despite_silent=despite_silent)

    async def withdraw(self, replica: ReplicaId, *, urgent: bool = False) -> bool:
        return await self._resting.withdraw(replica, urgent=urgent)

    async def moved(self, replica: ReplicaId) -> bool:
        return await self._resting.moved(replica)

    def forget(self, replica: ReplicaId) -> None:
        self._resting.forget(replica)
        self._may_be_left.set()  # made before this hub, its container published its own ports

    def release(self, request_id: int, replica: ReplicaId, endpoint: str) -> None:
        self._held.release(request_id, replica, endpoint)

    def refuse(self, refusal: Refuse) -> None:
        self._held.refuse(refusal)

    async def flows(self) -> Mapping[str, Flow] | None:
        if not self._gateways.live:
            return None
        before = self._held.held()
        try:
            texts = await self._witnesses.flows()
        except NoAnswer as error:
            log.debug("%s", error)
            return None
        # Envoy leaves out counters that never moved; of a cluster it has, that is a reading too, and it says 0.
        unused = {name: Counts() for name in self._catalog.services}
        counts = {gateway: {**unused, **read_flows(text)} for gateway, text in texts.items()}
        # Only what was held all the while is surely among the counted.
        after = self._held.held()
        held = {name: len(ids & after.get(name, frozenset())) for name, ids in before.items()}
        return self._traffic.flows(counts, held, time.monotonic())

    async def _renew(self, published: Published) -> None:
        service = self._catalog.services.get(published.service)
        if service is not None:
            await self._answers.renew(service, published.endpoints)


def hub_origins(catalog: Catalog, place: Place) -> Iterator[str]:
    """Origins that are the hub's own: pages of one service may use another."""
    edge, hosts = place.edge, ["localhost", "127.0.0.1", "[::1]", place.edge.host]
    domains = [DOMAIN, *([place.domain] if place.domain else [])]
    names = [*catalog.services, "hub"]
    for host in [*hosts, *domains, *(f"{name}.{domain}" for name in names for domain in domains)]:
        yield f"{edge.scheme}://{host}:{edge.port}"
        if edge.port == (443 if edge.tls else 80):
            yield f"{edge.scheme}://{host}"
    for service in catalog.services.values():
        for published in service.publishes:
            for host in (*hosts, f"{service.name}.{DOMAIN}"):
                yield f"http://{host}:{published.number}"
