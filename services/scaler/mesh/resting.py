"""Publishing, draining and withdrawing endpoints: the order that lets no request meet a resting program.

DRAINING → every live gateway has acknowledged → 20 ms more (an acknowledgement comes from Envoy's main thread, its
workers follow) → the endpoint's own rows are quiet twice, at each of them → removed → acknowledged. The layer above
then freezes or stops the program, and `moved` looks once more. Later verbs on a replica supersede earlier ones.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from services.catalog.model import Catalog, Protocol
from services.scaler.core.events import ReplicaId
from services.scaler.mesh.ads import Gateways
from services.scaler.mesh.base import Busy, Superseded
from services.scaler.mesh.endpoints import Endpoints, Published
from services.scaler.mesh.envoy_admin import NoAnswer
from services.scaler.mesh.envoy_counters import Row, has_moved, read_rows, rows_filter
from services.scaler.mesh.held import HeldChecks
from services.scaler.mesh.names import cluster_name, clusters_of
from services.scaler.mesh.witnesses import Witnesses

_ACK_LIMIT = 2.0
_AFTER_ACK = 0.02
_QUIET_LIMIT = 3.0
_LOOK_EVERY = 0.01
_LOOK_SLOWEST = 0.1
_IN_TRANSIT = 0.05
"""Seconds within which a gateway has begun to forward a check that was released."""

_SLICE = 0.002
_BEHIND_SLICES = 2.0
"""Seconds that publishing waits for slices at the most."""

LastLook = Callable[[Published], Awaitable[None]]


@dataclass(slots=True)
class _Baseline:
    """How things stood when a drain ended."""

    rows: tuple[Row, ...]
    released: int
    epochs: frozenset[int]
    """Of the gateways that were live: a later one cannot tell what an earlier one did."""


class Resting:
    def __init__(self, gateways: Gateways, witnesses: Witnesses, held: HeldChecks, last_look: LastLook) -> None:
        """`last_look` is awaited once nothing new comes to a replica, while it still runs."""
        self._last_look = last_look
        self._gateways = gateways
        self._witnesses = witnesses
        self._held = held
        self._endpoints = Endpoints()
        self._catalog = Catalog()
        self._turns: dict[ReplicaId, int] = {}
        self._last_turn = itertools.count(1)
        self._known: dict[ReplicaId, Published] = {}
        self._baselines: dict[ReplicaId, _Baseline] = {}
        self._deferred: dict[ReplicaId, asyncio.Handle] = {}

    def configure(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._push()

    def publish(self, replica: ReplicaId, service: str, endpoints: Mapping[str, str]) -> None:
        self._begin(replica)
        self._baselines.pop(replica, None)
        self._known[replica] = Published(service, dict(endpoints))
        if self._held.holds(service):
            # Who comes now must not overtake the slices: a burst straight to a small backlog would lose requests.
            # Until the held ones are through, everybody goes by the gate.
            loop = asyncio.get_running_loop()
            end = loop.time() + _BEHIND_SLICES
            # The releases of this very step come next; where they need no slices, nobody waits any longer.
            self._deferred[replica] = loop.call_soon(self._look, replica, end)
        else:
            self._put(replica)

    def _look(self, replica: ReplicaId, end: float) -> None:
        loop = asyncio.get_running_loop()
        if self._held.waiting_for(replica) and loop.time() < end:
            self._deferred[replica] = loop.call_later(_SLICE, self._look, replica, end)
        else:
            self._put(replica)

    def _put(self, replica: ReplicaId) -> None:
        published = self._known[replica]
        self._not_later(replica)
        self._endpoints.put(replica, published)
        self._push(published.service)

    def _not_later(self, replica: ReplicaId) -> bool:
        """Whether its publishing was still due."""
        timer = self._deferred.pop(replica, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    async def drain(self, replica: ReplicaId, *, despite_silent: bool = False) -> None:
        """Raises Busy, Superseded."""
        if replica in self._deferred:
            self._put(replica)
        turn = self._begin(replica)
        self._baselines.pop(replica, None)
        published = self._endpoints.of(replica)
        if published is None:
            self._baselines[replica] = _Baseline((), self._held.released_to(replica)[0], self._epochs())
            return
        if not self._gateways.live:
            raise Busy("no gateway is connected that could vouch for it")
        self._endpoints.drain(replica)
        self._push(published.service)
        told = await self._told(replica, published, turn)
        await self._last_look(published)
        self._check(replica, turn)
        await self._quiet(replica, published, turn, told, despite_silent)

    async def withdraw(self, replica: ReplicaId, *, urgent: bool) -> bool:
        """Raises Superseded."""
        turn = self._begin(replica)
        published = self._endpoints.of(replica)
        if urgent or published is None:
            self._endpoints.remove(replica)
            self._held.recall(replica)
            if published is not None:
                self._push(published.service)
            return False
        # Before it goes: a removed endpoint has no row any more.
        before = await self.moved(replica)
        self._check(replica, turn)
        self._endpoints.remove(replica)
        self._push(published.service)
        await self._settled(published.service)
        self._check(replica, turn)
        after = await self.moved(replica)
        self._check(replica, turn)
        return before or after

    async def moved(self, replica: ReplicaId) -> bool:
        baseline, published = self._baselines.get(replica), self._known.get(replica)
        if baseline is None:
            return True
        if published is None:
            return False
        if self._epochs() != baseline.epochs or self._held.waiting_for(replica):
            return True
        if self._held.released_to(replica)[0] != baseline.released:
            return True
        try:
            rows = await self._rows(published)
        except NoAnswer:
            return True
        return has_moved(baseline.rows, rows)

    def forget(self, replica: ReplicaId) -> None:
        self._begin(replica)
        published = self._endpoints.of(replica)
        self._endpoints.remove(replica)
        self._held.forget(replica)
        for table in (self._turns, self._known, self._baselines):
            table.pop(replica, None)
        if published is not None:
            self._push(published.service)

    async def _told(self, replica: ReplicaId, published: Published, turn: int) -> frozenset[int]:
        """Every live gateway has it as it is now, and so have its workers. Returns whose word that is."""
        epochs = self._epochs()
        settled = await self._settled(published.service)
        self._check(replica, turn)
        if not settled:
            raise Busy(f"a gateway has not acknowledged within {_ACK_LIMIT:g} s")
        await asyncio.sleep(_AFTER_ACK)
        self._check(replica, turn)
        return epochs

    async def _quiet(
        self, replica: ReplicaId, published: Published, turn: int, told: frozenset[int], despite_silent: bool
    ) -> None:
        """Nothing in flight, nothing pending and nothing on its way, twice, at those who were `told`. Who came since,
        maybe after a moment without a stream, has to be told first."""
        loop = asyncio.get_running_loop()
        end, pause, quiet = loop.time() + _QUIET_LIMIT, _LOOK_EVERY, 0
        while True:
            if self._epochs() != told:
                told, quiet = await self._told(replica, published, turn), 0
            released, last = self._held.released_to(replica)
            rows, why = await self._look_around(replica, published, turn)
            waiting, busy = self._held.waiting_for(replica), sum(row.busy for row in rows)
            settling = bool(last) and loop.time() - last < _IN_TRANSIT
            quiet = 0 if why or waiting or settling or (busy and not despite_silent) else quiet + 1
            if quiet == 2 and self._epochs() == told:
                self._baselines[replica] = _Baseline(rows, released, told)
                return
            if loop.time() > end:
                doing = f"{busy} requests in flight and {waiting} waiting for it"
                raise Busy(f"{why or doing} after {_QUIET_LIMIT:g} s")
            await asyncio.sleep(pause)
            self._check(replica, turn)
            pause = min(pause * 1.5, _LOOK_SLOWEST) if quiet == 0 else _LOOK_EVERY

    async def _look_around(self, replica: ReplicaId, published: Published, turn: int) -> tuple[tuple[Row, ...], str]:
        """The rows, or why there are none: one that has just ended is no longer asked with the next look."""
        try:
            return await self._rows(published), ""
        except NoAnswer as error:
            return (), str(error)
        finally:
            self._check(replica, turn)

    def _epochs(self) -> frozenset[int]:
        return frozenset(gateway.epoch for gateway in self._gateways.live)

    async def _rows(self, published: Published) -> tuple[Row, ...]:
        service = self._catalog.services.get(published.service)
        if service is None:
            return ()
        tcp = [cluster_name(service.name, p.name) for p in service.ports if p.protocol is Protocol.TCP]
        addresses = frozenset(published.endpoints.values())
        texts = await self._witnesses.rows(rows_filter(service))
        return tuple(row for name, text in texts.items() for row in read_rows(text, addresses, tcp, name))

    async def _settled(self, service: str) -> bool:
        snapshot = self._gateways.snapshot
        spec = self._catalog.services.get(service)
        names = clusters_of(spec) if spec is not None else ()
        return await self._gateways.settled({name: snapshot.changed_at(name) for name in names}, _ACK_LIMIT)

    def _push(self, service: str | None = None) -> None:
        before = self._gateways.snapshot
        after = self._endpoints.snapshot(self._catalog, before, service)
        if after is not before:
            self._gateways.push(after)

    def _begin(self, replica: ReplicaId) -> int:
        self._not_later(replica)
        turn = next(self._last_turn)
        self._turns[replica] = turn
        return turn

    def _check(self, replica: ReplicaId, turn: int) -> None:
        if self._turns.get(replica) != turn:
            raise Superseded(replica)
