"""The files that gateways read: written in the order in which they lean on each other, and only where they changed.

Owns what is kept of one writing for the next. What the files say is made in `config`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services.catalog.addresses import Edge
from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog
from services.scaler.mesh.config import inside as inner
from services.scaler.mesh.config.bootstrap import CDS_FILE, LDS_FILE, bootstrap
from services.scaler.mesh.config.clusters import cds
from services.scaler.mesh.config.common import Json, Place
from services.scaler.mesh.config.doors import Doors, doors
from services.scaler.mesh.config.kept import Kept
from services.scaler.mesh.config.listeners import OWN_RDS_FILE, RDS_FILE, lds
from services.scaler.mesh.config.own_routes import rds_own
from services.scaler.mesh.config.routes import rds
from services.scaler.mesh.files import write_again, write_if_changed
from services.scaler.mesh.gateway_folders import EDGE, GatewayFolders

log = logging.getLogger(__name__)

Documents = Mapping[str, Callable[[], Json]]
"""File → what makes its content. Each is written before the next is made: gateways read the clusters meanwhile, which
come before their routes, and routes before the listeners that use them."""


class EnvoyFiles:
    def __init__(self, place: Place, folders: GatewayFolders, inner_edge: Edge) -> None:
        """`place`: of the edge. `inner_edge`: where inner gateways listen."""
        self._place = place
        self._folders = folders
        self._inner_place = inner.inner_place(place, inner_edge, "", "")
        self._kept = Kept()
        self._catalog = Catalog()
        self._portless: frozenset[str] = frozenset()
        self._inside: tuple[InsideNetwork, ...] | None = None
        self.faults: tuple[str, ...] = ()
        """What of the networks inside could not be served, a sentence each."""

    def configure(
        self, catalog: Catalog, inside: Sequence[InsideNetwork] | None, portless: Collection[str] | None
    ) -> None:
        """`portless`: services without own ports. None: as it was told before; never told of `inside`, inner gateways
        keep what they have. Raises OSError."""
        self._catalog = catalog
        self._portless = frozenset(portless) if portless is not None else self._portless
        self._inside = tuple(inside) if inside is not None else self._inside
        self._kept.forget_others(catalog.services.keys())
        place, kept, ported = self._place, self._kept, self.ported
        self._write(
            Path(place.folder),
            {
                CDS_FILE: lambda: cds(catalog, kept),
                RDS_FILE: lambda: rds(catalog, place, kept),
                OWN_RDS_FILE: lambda: rds_own(ported, place, kept),
                LDS_FILE: lambda: lds(ported, place),
                self._folders.bootstrap(EDGE).name: lambda: bootstrap(place, EDGE),
            },
        )
        if self._inside is not None and (self._inside or self._folders.inner()):
            self._write_inner(self._inside)

    @property
    def ported(self) -> Catalog:
        """Of the catalogue, the services whose own ports are served."""
        if not self._portless:
            return self._catalog
        services = {name: one for name, one in self._catalog.services.items() if name not in self._portless}
        return replace(self._catalog, services=services)

    def offer_listeners(self) -> None:
        """Have the edge try once more the listeners that it lacks. Raises OSError."""
        log.info("a port of a service's own is free: the gateway shall take it")
        write_again(Path(self._place.folder) / LDS_FILE)

    def prepare(self, name: str) -> Path:
        """All that an inner gateway reads. Returns its bootstrap. Raises ValueError for another name, OSError."""
        self._folders.make(name)
        if self._inside is not None or not (Path(self._inner_place.folder) / inner.INNER_LDS_FILE).exists():
            self._write_inner(self._inside or ())
        path, gate = self._folders.bootstrap(name), self._folders.gate(name)
        assert gate is not None
        place = inner.inner_place(self._place, self._inner_place.edge, gate, self._folders.admin(name))
        self._write(path.parent, {path.name: lambda: bootstrap(place, name, inner.INNER_LDS_FILE)})
        return path

    def _write_inner(self, inside: Sequence[InsideNetwork]) -> None:
        """The same for all inner gateways: nothing here names their sockets."""
        place, kept, catalog = self._inner_place, self._kept, self._catalog
        found = doors(catalog, inside, place.edge.port, inner.kept_hosts(place))
        self._tell(found)
        self._write(
            Path(place.folder),
            {
                inner.INNER_RDS_FILE: lambda: inner.rds_inner(catalog, found.doors, place, kept),
                inner.INSIDE_RDS_FILE: lambda: inner.rds_inside(found.doors, place, kept),
                inner.INNER_LDS_FILE: lambda: inner.lds_inner(found.doors, place),
            },
        )

    def _tell(self, found: Doors) -> None:
        for fault in found.faults:
            if fault not in self.faults:
                log.warning("%s", fault)
        self.faults = found.faults

    def _write(self, folder: Path, documents: Documents) -> None:
        written = [name for name, made in documents.items() if write_if_changed(folder / name, made())]
        if written:
            log.info("wrote %s", ", ".join(written))
