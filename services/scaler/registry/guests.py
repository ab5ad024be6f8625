"""Services that run elsewhere, given a place at this hub's gateway.

They come by the verbs the gateway has for replicas, as ones that nobody here starts or rests. A name that the catalogue
does not have is put beside it for the gateway alone: nothing that decides ever hears of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from services.catalog.model import Catalog, Port, Service
from services.scaler.core.events import ReplicaId
from services.scaler.registry.foreign import ForeignServices

log = logging.getLogger(__name__)

_PORT = Port("main", 80)


class Doors(Protocol):
    """What of the mesh is needed."""

    def publish(self, replica: ReplicaId, service: str, endpoints: Mapping[str, str]) -> None: ...

    def forget(self, replica: ReplicaId) -> None: ...


class Guests:
    """`take` whenever the news comes, `beside` whenever the catalogue is given to the gateway."""

    def __init__(self, doors: Doors, configure: Callable[[], None]) -> None:
        """`configure`: give the gateway its catalogue again, made by `beside`; may raise OSError."""
        self._doors = doors
        self._configure = configure
        self._catalog = Catalog()
        self._foreign = ForeignServices()
        self._configured: frozenset[str] = frozenset()
        self._published: dict[ReplicaId, str] = {}

    def beside(self, catalog: Catalog) -> Catalog:
        """The catalogue with the guests that it does not have. Under `/api/NAME` and NAME.localhost as all others."""
        self._catalog = catalog
        names = self._strangers()
        self._configured = frozenset(names)
        added = {name: Service(name, ports=(_PORT,), path=f"/api/{name}", lazy=False) for name in names}
        return replace(catalog, services=MappingProxyType({**catalog.services, **added})) if added else catalog

    def take(self, foreign: ForeignServices) -> None:
        """Serve exactly these. Raises nothing; what a full disk hindered is done with the next news."""
        self._foreign = foreign
        wanted = {
            ReplicaId(f"elsewhere:{name}:{address}"): (name, address)
            for name, addresses in foreign.endpoints.items()
            for address in addresses
        }
        for replica in self._published.keys() - wanted.keys():
            self._doors.forget(replica)
            log.info("%s is no longer served from elsewhere by %s", self._published.pop(replica), replica)
        if frozenset(self._strangers()) != self._configured:
            try:
                self._configure()
            except OSError as error:
                log.error("the gateway could not be told which services of others there are: %s", error)
        for replica in wanted.keys() - self._published.keys():
            name, address = wanted[replica]
            port = self._catalog.services[name].main if name in self._catalog.services else _PORT
            if port is not None:
                self._doors.publish(replica, name, {port.name: address})
                self._published[replica] = name
                log.info("%s is served from elsewhere by %s", name, address)

    def _strangers(self) -> list[str]:
        taken = {service.path for service in self._catalog.services.values()}
        known = self._catalog.services
        return sorted(name for name in self._foreign.endpoints if name not in known and f"/api/{name}" not in taken)
