"""The mesh as the layer above sees it: Envoy's files, its streams, its gate and its counters put together."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping

from services.catalog.addresses import DOMAIN, Edge
from services.catalog.model import Catalog
from services.layout import Layout
from services.scaler.core.effects import Refuse
from services.scaler.core.events import Flow, ReplicaId
from services.scaler.mesh.ads import Gateways
from services.scaler.mesh.answers import AnswerCache
from services.scaler.mesh.base import Demands, OnGateway
from services.scaler.mesh.check import CheckEndpoint, Known
from services.scaler.mesh.config.bootstrap import CDS_FILE, LDS_FILE, bootstrap
from services.scaler.mesh.config.clusters import cds
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.kept import Kept
from services.scaler.mesh.config.listeners import OWN_RDS_FILE, RDS_FILE, lds
from services.scaler.mesh.config.routes import rds, rds_own
from services.scaler.mesh.endpoints import Published
from services.scaler.mesh.envoy_admin import EnvoyAdmin, NoAnswer
from services.scaler.mesh.envoy_counters import Counts, read_flows
from services.scaler.mesh.files import write_if_changed
from services.scaler.mesh.held import HeldChecks
from services.scaler.mesh.resting import Resting
from services.scaler.mesh.traffic import Traffic

log = logging.getLogger(__name__)

BOOTSTRAP_FILE = "bootstrap.json"


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
    ) -> None:
        """`concurrency`: Envoy's workers. `tls`: files of certificate chain and key for the edge. `domain`: services
        are `NAME.DOMAIN` besides `NAME.localhost`."""
        self._folder = layout.envoy
        self._place = Place(
            edge,
            str(layout.envoy),
            str(layout.gate_socket),
            str(layout.check_socket),
            str(layout.ads_socket),
            str(layout.admin_socket),
            str(layout.envoy_admin_socket),
            workers=concurrency,
            domain=domain,
            tls=tls,
        )
        self._catalog = Catalog()
        self._kept = Kept()
        self._held = HeldChecks(demands)
        self._answers = AnswerCache()
        self._gateways = Gateways(self._place.gate, on_gateway)
        self._admin = EnvoyAdmin(self._place.envoy_admin)
        self._resting = Resting(self._gateways, self._admin, self._held, self._renew)
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
        await self._admin.close()

    # -- verbs of the control loop -----------------------------------------------------------------------------------

    def configure(self, catalog: Catalog) -> None:
        """Raises OSError where the files cannot be written."""
        self._catalog = catalog
        self._check.known = Known(catalog, frozenset(hub_origins(catalog, self._place)))
        self._resting.configure(catalog)
        self._kept.forget_others(catalog.services.keys())
        # Each is written before the next is made: Envoy reads the clusters meanwhile, which come before their routes.
        documents: Mapping[str, Callable[[], Json]] = {
            CDS_FILE: lambda: cds(catalog, self._kept),
            RDS_FILE: lambda: rds(catalog, self._place, self._kept),
            OWN_RDS_FILE: lambda: rds_own(catalog, self._place, self._kept),
            LDS_FILE: lambda: lds(catalog, self._place),
            BOOTSTRAP_FILE: lambda: bootstrap(self._place, "hub"),
        }
        written = [name for name, made in documents.items() if write_if_changed(self._folder / name, made())]
        if written:
            log.info("wrote %s", ", ".join(written))

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

    def release(self, request_id: int, replica: ReplicaId, endpoint: str) -> None:
        self._held.release(request_id, replica, endpoint)

    def refuse(self, refusal: Refuse) -> None:
        self._held.refuse(refusal)

    async def flows(self) -> Mapping[str, Flow] | None:
        if not self._gateways.live:
            return None
        before = self._held.held()
        try:
            counts = read_flows(await self._admin.flows())
        except NoAnswer as error:
            log.debug("%s", error)
            return None
        # Envoy leaves out counters that never moved; of a cluster it has, that is a reading too, and it says 0.
        counts = {name: Counts() for name in self._catalog.services} | dict(counts)
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
