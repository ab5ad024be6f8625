"""What may happen to a fleet, one method a kind of thing; a random walk and a state machine of hypothesis choose."""

from __future__ import annotations

import random
from dataclasses import replace

from services.catalog.model import (
    Busy,
    Catalog,
    Condition,
    Dependency,
    Port,
    Protocol,
    Resources,
    Rest,
    Scaling,
    Service,
)
from services.scaler.core.events import (
    CatalogLoaded,
    DemandKind,
    PinSet,
    Pruned,
    PullAsked,
    RestartAsked,
    ShutdownAsked,
    SleepAsked,
    Unpinned,
)
from services.scaler.core.state import MEBIBYTE
from tests.support import verdict
from tests.support.world import World

UNIT = 100 * MEBIBYTE

HORIZON = 400.0
"""Seconds in which all of these catalogues come to rest: holds, idle times and the longest back-off are far below."""


def random_service(rng: random.Random, number: int, digest: int = 1) -> Service:
    """Needs only services of lower numbers, so there are no circles."""
    lower = [f"s{n}" for n in range(number)]
    most = rng.choice((1, 1, 1, 2, 3))
    dependencies = tuple(
        Dependency(other, rng.choice(tuple(Condition)), rng.random() < 0.75)
        for other in rng.sample(lower, min(len(lower), rng.choice((0, 0, 1, 1, 2))))
    )
    return Service(
        name=f"s{number}",
        lazy=rng.random() < 0.85,
        ports=(Port("main", 80, rng.choice((Protocol.HTTP,) * 5 + (Protocol.TCP,))),),
        scaling=Scaling(
            min_replicas=rng.choice((0,) * 8 + (1, 2)) if most > 1 else rng.choice((0,) * 9 + (1,)),
            max_replicas=most,
            scale_up_threshold=rng.choice((0, 1, 2)) if most > 1 else 0,
            idle_timeout=rng.choice((0.0, 1.0, 5.0, 15.0)),
            stop_after=rng.choice((0.0, 3.0, 20.0)),
            rest=rng.choice((Rest.PAUSED, Rest.PAUSED, Rest.STOPPED)),
        ),
        busy=Busy(cpu=0.1, websocket_idle=rng.choice((None, None, 8.0))),
        depends_on=dependencies,
        uses=tuple(rng.sample(lower, min(len(lower), rng.choice((0, 0, 0, 1))))),
        stateless=most > 1,
        ends=rng.random() < 0.4,
        resources=Resources(memory_reservation=rng.choice((1, 1, 2, 4)) * UNIT),
        digest=f"{number} {digest}",
    )


class Walk:
    """A world with a random catalogue, and everything that may happen to it."""

    def __init__(self, seed: int, size: int = 6) -> None:
        self.world = World(seed)
        self.rng = random.Random(seed + 1)
        self.all = [random_service(self.rng, number) for number in range(size)]
        self.world.set_budget(self.rng.choice((None, 3 * UNIT, 5 * UNIT, 9 * UNIT)))
        self.load()

    def load(self) -> None:
        unavailable = {one.name: "no GPU here" for one in self.all if self.rng.random() < 0.07}
        self.world.tell(CatalogLoaded(Catalog({one.name: one for one in self.all}), unavailable))

    def any_service(self) -> str:
        return self.rng.choice([one.name for one in self.all] or ["nobody"])

    def any_program(self) -> str | None:
        return self.rng.choice(list(self.world.programs) or [None])

    # -- what may happen -----------------------------------------------------------------------------------------------

    def request(self) -> None:
        kind = self.rng.choice((DemandKind.REQUEST,) * 6 + (DemandKind.PAGE, DemandKind.COMMAND))
        hold = self.rng.choice((0.0, 1.0, 10.0, 40.0))
        name = self.any_service() if self.rng.random() < 0.98 else "nobody"
        for _ in range(self.rng.choice((1, 1, 1, 5))):
            self.world.request(name, hold, kind, duration=self.rng.choice((0.0, 0.05, 2.0, 25.0)))

    def leave(self) -> None:
        if self.world.open:
            self.world.leave(self.rng.choice(list(self.world.open)))

    def wait(self) -> None:
        self.world.advance(self.rng.choice((0.0, 0.001, 0.05, 0.5, 2.0, 2.0, 8.0, 30.0)))

    def read(self) -> None:
        missing = frozenset(self.any_service() for _ in range(self.rng.choice((0, 0, 0, 1, 3))))
        self.world.read(missing)

    def read_and_wait(self) -> None:
        for _ in range(self.rng.choice((2, 5, 20))):
            self.world.read()
            self.world.advance(1.0)

    def measure(self) -> None:
        replica = self.any_program()
        if replica is not None:
            memory = self.rng.choice((1, 50, 100, 200, 400)) * MEBIBYTE
            self.world.measure(replica, memory, self.rng.choice((0.0, 0.0, 0.5)))

    def crash(self) -> None:
        replica = self.any_program()
        if replica is not None:
            if self.rng.random() < 0.3:
                self.world.crash_as_it_gets_ready(replica)
            else:
                self.world.crash(replica)

    def stop_by_hand(self) -> None:
        starting = [one.replica for one in self.world.programs.values() if not (one.told_ready or one.gone)]
        if starting:
            self.world.stop_by_hand(self.rng.choice(starting))

    def meddle(self) -> None:
        replica = self.any_program()
        if replica is not None:
            self.world.meddle(replica)

    def appear(self) -> None:
        self.world.appear(self.any_service())

    def deafen(self) -> None:
        replica = self.any_program()
        if replica is not None:
            self.world.deafen(replica)

    def stale(self) -> None:
        """An outcome that was given before comes again."""
        if self.world.outcomes:
            self.world.retell(self.rng.choice(list(self.world.outcomes)))

    def ask(self) -> None:
        name = self.any_service()
        event = self.rng.choice(
            (
                SleepAsked(name),
                SleepAsked(name, "stopped"),
                RestartAsked(name),
                PullAsked(name),
                PinSet(name, self.rng.choice((None, self.world.now + 10.0, self.world.now - 1.0))),
                Unpinned(name),
                Unpinned(name),
                Pruned(name),
            )
        )
        if isinstance(event, Pruned) and any(not program.gone for program in self.world.of(name)):
            return
        self.world.tell(event)

    def budget(self) -> None:
        self.world.set_budget(self.rng.choice((None, 1 * UNIT, 3 * UNIT, 6 * UNIT)))

    def change(self) -> None:
        """The catalogue changes: texts, sizes, what is there."""
        self.all = [
            random_service(self.rng, int(one.name[1:]), self.rng.choice((1, 2)))
            if self.rng.random() < 0.3
            else replace(one, digest=f"{one.name} {self.rng.choice((1, 1, 2))}")
            for one in self.all
        ]
        there = {one.name for one in self.all}
        if self.rng.random() < 0.5 and len(self.all) > 2:
            self.all.remove(self.rng.choice(self.all))
        elif len(there) < 8:
            number = next(n for n in range(9) if f"s{n}" not in there)
            self.all.append(random_service(self.rng, number))
        self.load()

    def restart_scaler(self) -> None:
        self.world.restart_scaler()

    def shutdown(self) -> None:
        self.world.tell(ShutdownAsked())
        self.world.advance(20.0)
        verdict.judge_shutdown(self.world)
        self.world.restart_scaler()

    def luck(self) -> None:
        self.world.adversity = self.rng.choice((0.0, 0.0, 0.1, 0.5))

    def settle(self) -> None:
        """Now and then everything calms down, and is judged."""
        unlucky = self.world.adversity
        verdict.judge_calm(self.world, HORIZON)
        self.world.adversity = unlucky
        self.budget()

    MOVES = (
        (request, 30),
        (leave, 5),
        (wait, 25),
        (read, 20),
        (read_and_wait, 10),
        (measure, 5),
        (crash, 3),
        (stop_by_hand, 3),
        (meddle, 2),
        (deafen, 2),
        (appear, 1),
        (stale, 3),
        (ask, 6),
        (budget, 1),
        (change, 1),
        (restart_scaler, 1),
        (luck, 2),
        (shutdown, 0.1),
        (settle, 0.2),
    )

    def step(self) -> None:
        (move,) = self.rng.choices([move for move, _ in self.MOVES], [weight for _, weight in self.MOVES])
        move(self)
