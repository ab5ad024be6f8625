"""Who answers to the names inside container networks: the inner gateways by aliases of theirs, or services' holders.

Owns which of both it is for this driver, and the order of their beginning. The parts stand in `inside`, `holders` and
`gateways`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from services.catalog.inside import InsideNetwork
from services.catalog.model import Catalog
from services.layout import Layout
from services.scaler.drivers.docker.arrangement import Stacks
from services.scaler.drivers.docker.book import Book
from services.scaler.drivers.docker.engine import Engine
from services.scaler.drivers.docker.gateways import Bootstrap, InnerGateways
from services.scaler.drivers.docker.holder_containers import HolderContainers
from services.scaler.drivers.docker.holders import Holders
from services.scaler.drivers.docker.images import Images
from services.scaler.drivers.docker.inside import Inside
from services.scaler.drivers.docker.keeper import Keeper
from services.scaler.drivers.docker.rules import Rules
from services.scaler.drivers.docker.watch import Watch

log = logging.getLogger(__name__)


class Names:
    def __init__(
        self,
        engine: Engine,
        images: Images,
        keeper: Keeper,
        stacks: Stacks,
        book: Book,
        watch: Watch,
        layout: Layout,
        *,
        hold: bool,
    ) -> None:
        """`hold`: what can be held has a holder."""
        self._engine = engine
        self._images = images
        self._keeper = keeper
        self._book = book
        self._watch = watch
        self._layout = layout
        self._inside = Inside(engine, keeper, stacks, layout)
        self.holders: Holders | None = None
        if hold:
            rules = Rules(engine, images, layout)
            self.holders = Holders(engine, keeper, self._inside, stacks, book, layout, rules)
            watch.also.append(self.holders.changed)
            watch.reconnected.append(self.holders.look)

    async def begin(self) -> None:
        """Take over what an earlier life has left. Raises DriverError where the engine does not allow holders;
        EngineAway, EngineRefused."""
        if self.holders is not None:
            await self.holders.begin()
        elif await HolderContainers(self._engine, self._keeper, self._layout.mark).clear():
            log.info("holders of an earlier life are gone: gateways answer to names now")
            self._book.learn(await self._engine.get("containers/json", all=True))

    async def networks(self, catalog: Catalog) -> Sequence[InsideNetwork]:
        """The networks that lazy HTTP services are on, made where they are missing, and the names there that belong to
        the gateways; a held service's namespace as a network of its own. Raises EngineAway, EngineRefused, OSError."""
        found = await self._inside.networks(catalog)
        return [*found, *(await self.holders.inside(catalog))] if self.holders is not None else found

    def follow(self, listener: Callable[[], None]) -> None:
        """`listener`: called when `networks` would say something else though the catalogue is the same."""
        if self.holders is not None:
            self.holders.moved.append(listener)

    def gateways(self, binary: str, bootstrap: Bootstrap) -> InnerGateways:
        """The inner gateways on this engine, told of their containers' ends. Once, after `begin`."""
        folder = self.holders.folder if self.holders is not None else ""
        made = InnerGateways(self._engine, self._images, self._layout, binary, bootstrap, namespaces=folder)
        self._watch.also.append(made.changed)
        self._watch.networks.append(made.network_changed)
        self._watch.reconnected.append(made.look)
        return made

    async def release(self) -> None:
        """The hub ends in order: no holder stays. Raises EngineAway, EngineRefused."""
        if self.holders is not None:
            await self.holders.close()
