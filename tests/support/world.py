"""A model of the world outside the fleet: programs, gateways, requests. It carries effects out.

Each effect is judged by the laws the moment it comes; outcomes come back as events on a virtual clock, after random
delays, with random failures. `LawBroken` tells the story that led there.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable

from services.catalog.model import Protocol
from services.scaler.core import invariants
from services.scaler.core.effects import (
    Decided,
    Drain,
    Effect,
    Measure,
    Pause,
    Prepare,
    Publish,
    Refuse,
    Release,
    Resume,
    Start,
    Stop,
    Watch,
    Withdraw,
)
from services.scaler.core.events import (
    Adopted,
    Appeared,
    BudgetSet,
    CatalogLoaded,
    Deaf,
    Demand,
    DemandKind,
    DemandLeft,
    Drained,
    DrainRefused,
    Event,
    Exited,
    Flow,
    Measured,
    Meddled,
    Paused,
    PauseFailed,
    Prepared,
    PrepareFailed,
    Progress,
    Ready,
    Restarted,
    Resumed,
    ResumeFailed,
    Started,
    StartFailed,
    Stopped,
    Tick,
    Traffic,
    Withdrawn,
)
from services.scaler.core.fleet import Fleet
from services.scaler.core.state import Settings
from tests.support import laws
from tests.support.truth import Program, Truth


class LawBroken(AssertionError):
    pass


class World(Truth):
    """The programs and gateways that one fleet commands. `adversity` 0..1: how often an effect fails."""

    def __init__(self, seed: int, settings: Settings | None = None) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.settings = settings or Settings()
        self.fleet = Fleet(self.settings)
        self.adversity = 0.2
        self.journal: list[tuple[Event, float, tuple[Effect, ...]]] = []
        self.outcomes: deque[Event] = deque(maxlen=50)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._operation: dict[str, int] = {}
        """Replica or service → attempt of what is being done to it."""
        self._durations: dict[int, float] = {}
        self._spoke: dict[str, float] = {}
        """Service → when its last request came; what is in flight is silent since then."""
        self._numbers = 0
        self._reason = ""

    # -- time --------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time go by: outcomes come, timers go off."""
        until = self.now + seconds
        spins = 0
        while True:
            due = self.fleet.next_deadline()
            due = float("inf") if due is None else due
            planned = self._agenda[0][0] if self._agenda else float("inf")
            if min(due, planned) > until:
                break
            spins = spins + 1 if min(due, planned) <= self.now else 0
            if spins > 10_000:
                self.broken("time stands still: a timer or an outcome goes off again and again")
            self.now = max(self.now, min(due, planned))
            if planned <= due:
                heapq.heappop(self._agenda)[2]()
            else:
                self.tell(Tick())
        self.now = until

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, self._number(), what))

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _soon(self) -> float:
        """Most things take milliseconds, some take seconds."""
        return self.random.choice((0.0, 0.001, 0.01, 0.1, 0.7, 3.0, 12.0))

    def _unlucky(self) -> bool:
        return self.random.random() < self.adversity

    # -- the loop that production has --------------------------------------------------------------------------------

    def tell(self, event: Event, *, stale: bool = False) -> None:
        """Hand the fleet one event and carry out what it answers. A stale one must teach it nothing."""
        if not stale:
            self.learn(event)
        effects = self.fleet.handle(event, self.now)
        self.journal.append((event, self.now, tuple(effects)))
        faults = invariants.broken(self.fleet)
        if faults:
            self.broken("; ".join(faults))
        for effect in effects:
            if isinstance(effect, Decided):
                self._reason = effect.reason
            fault = laws.judge(self, effect, event, charged=self.fleet.world.charged(), reason=self._reason)
            if fault:
                self.broken(fault)
            self._perform(effect)
        serving = [self.programs[one] for one, how in self.published.items() if how == "serving"]
        if any(program.told_deaf and not program.gone for program in serving):
            self.broken(f"what no longer listens is left published: {serving}")

    def broken(self, law: str) -> None:
        """Raises LawBroken with the last events and what was answered to them."""
        story = "\n".join(
            f"  {at:.3f} {type(event).__name__ if isinstance(event, CatalogLoaded | Restarted) else event}"
            + "".join(f"\n      → {effect}" for effect in effects)
            for event, at, effects in self.journal[-25:]
        )
        raise LawBroken(f"{law}\n(step {len(self.journal)}, at {self.now:.3f}), after:\n{story}")

    # -- effects, each carried out -----------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Decided():
                pass
            case Prepare():
                self._prepare(effect)
            case Start():
                self._start(effect)
            case Watch():
                self._become_ready(effect, self.programs[effect.replica])
            case Publish():
                self._publish(effect)
            case Measure():
                self._later(self.random.choice((0.0, 0.01, 0.3)), lambda: self._look_at(effect.replica))
            case Drain():
                self._drain(effect)
            case Withdraw():
                self._withdraw(effect)
            case Pause():
                self._pause(effect)
            case Resume():
                self._resume(effect)
            case Stop():
                self._stop(effect)
            case Release():
                self._release(effect)
            case Refuse():
                self._end(effect.demand, "refused")

    def _outcome(self, key: str, attempt: int, seconds: float, what: Callable[[], Event]) -> None:
        """What becomes of an effect, decided when its time has come, unless a later one on the same thing took over."""
        self._operation[key] = attempt

        def come() -> None:
            if self._operation.get(key) == attempt:
                event = what()
                self.outcomes.append(event)
                self.tell(event)

        self._later(seconds, come)

    def _prepare(self, effect: Prepare) -> None:
        name = effect.service

        def done() -> Event:
            spec = self.catalog.services.get(name)
            if self._unlucky() or spec is None:
                not_ours = spec is not None and not spec.lazy and self.random.random() < 0.3
                return PrepareFailed(name, effect.attempt, "no network", not_ours)
            self.installed[name] = spec.digest
            return Prepared(name, effect.attempt)

        self._later(0.0, lambda: self.tell(Progress(name, "downloading", 0.5)))
        self._outcome(f"prepare {name}", effect.attempt, self._soon(), done)

    def _start(self, effect: Start) -> None:
        spec = self.catalog.services[effect.service]
        program = self.programs[effect.replica] = Program(effect.replica, spec.name, spec.digest)
        self.up_again(spec.name)

        def launched() -> Event:
            if self._unlucky():
                program.gone = True
                return StartFailed(effect.replica, effect.attempt, "exec failed")
            program.endpoints = {port.name: f"127.0.0.1:{effect.attempt}{n}" for n, port in enumerate(spec.ports)}
            self._later(0.0, lambda: self._become_ready(effect, program))
            return Started(effect.replica, effect.attempt, program.endpoints, effect.attempt)

        self._outcome(effect.replica, effect.attempt, self.random.choice((0.0, 0.1)), launched)

    def _become_ready(self, effect: Start | Watch, program: Program) -> None:
        def seen() -> Event:
            if program.gone or self._unlucky():
                self._dies(program)
                may_be_done = self.may_finish(program.service) and not (program.by_hand or program.left)
                if may_be_done and self.random.random() < 0.3:
                    self.tell(Exited(effect.replica, "exit code 0", finished=True))
                    return Ready(effect.replica, effect.attempt)
                left = self._is_left_so(program)
                return StartFailed(effect.replica, effect.attempt, "it died", program.by_hand, left)
            program.listening = True
            return Ready(effect.replica, effect.attempt)

        self._outcome(effect.replica, effect.attempt, self._soon(), seen)

    def _publish(self, effect: Publish) -> None:
        program = self.programs[effect.replica]
        superseded = self._operation.pop(effect.replica, None)
        if superseded is not None and self.random.random() < 0.3:  # its outcome was on its way already
            late = self.random.choice((Drained, Withdrawn, Resumed))(effect.replica, superseded)
            self._later(0.0, lambda: self.tell(late, stale=True))
        self.published[effect.replica] = "serving"
        program.told_quiet = program.told_withdrawn = False

    def _drain(self, effect: Drain) -> None:
        program = self.programs[effect.replica]
        program.overlooked = effect.despite_silent
        self.published[effect.replica] = "draining"

        def seen() -> Event:
            if (program.in_flight and not effect.despite_silent) or self._unlucky():
                return DrainRefused(effect.replica, effect.attempt, "requests are in flight")
            return Drained(effect.replica, effect.attempt)

        self._outcome(effect.replica, effect.attempt, self.random.choice((0.02, 0.02, 1.0)), seen)

    def _withdraw(self, effect: Withdraw) -> None:
        program = self.programs[effect.replica]
        if effect.urgent:
            self.published.pop(effect.replica, None)
            self._operation.pop(effect.replica, None)
            return

        def out() -> Event:
            moved = not program.gone and self._unlucky()
            if moved:
                self._reach(program)
            else:
                self.published.pop(effect.replica, None)
            return Withdrawn(effect.replica, effect.attempt, moved)

        self._outcome(effect.replica, effect.attempt, self.random.choice((0.001, 0.01, 2.0)), out)

    def _pause(self, effect: Pause) -> None:
        program = self.programs[effect.replica]

        def frozen() -> Event:
            if program.gone or self._unlucky():
                return PauseFailed(effect.replica, effect.attempt, "it cannot be frozen")
            program.frozen = True
            moved = self._unlucky()
            if moved:
                self._reach(program)
            return Paused(effect.replica, effect.attempt, moved)

        self._outcome(effect.replica, effect.attempt, self.random.choice((0.0, 0.01, 1.0)), frozen)

    def _resume(self, effect: Resume) -> None:
        program = self.programs[effect.replica]

        def thawed() -> Event:
            if program.gone or program.deaf or self._unlucky():
                self._dies(program)
                return ResumeFailed(effect.replica, effect.attempt, "it died of its pause")
            program.frozen = False
            return Resumed(effect.replica, effect.attempt)

        self._outcome(effect.replica, effect.attempt, self.random.choice((0.002, 0.01, 2.0)), thawed)

    def _stop(self, effect: Stop) -> None:
        program = self.programs[effect.replica]
        program.stopping = True
        self.published.pop(effect.replica, None)

        def ended() -> Event:
            self._dies(program)
            program.told_gone = True
            return Stopped(effect.replica, effect.attempt, "SIGTERM was enough")

        self._outcome(effect.replica, effect.attempt, self._soon(), ended)

    def _release(self, effect: Release) -> None:
        program = self.programs[effect.replica]
        self._end(effect.demand, "served")
        self.released_at[program.service] = self.uses[program.service] = self.now
        if not program.gone:
            self._reach(program, self._durations.get(effect.demand, 0.1))

    def _end(self, demand: int, how: str) -> None:
        del self.open[demand]
        self.ended[demand] = how

    # -- what people and programs do ---------------------------------------------------------------------------------

    def request(
        self, name: str, hold: float, kind: DemandKind = DemandKind.REQUEST, duration: float = 0.1, port: str = "main"
    ) -> None:
        """A request comes to a gateway: straight to a replica where one serves, else held."""
        spec = self.catalog.services.get(name)
        serving = [program for program in self.of(name) if self.published.get(program.replica) == "serving"]
        if kind is not DemandKind.COMMAND and spec is not None and serving:
            program = self.random.choice(serving)
            if program.deaf and not program.gone:
                return  # refused by the kernel, until the fleet is told
            if not program.gone:
                self._reach(program, duration)
                return
            self.tell(Exited(program.replica, "found dead when a request came for it"))
        if kind is not DemandKind.COMMAND and spec is not None and spec.main and spec.main.protocol is Protocol.TCP:
            return  # a gateway cannot hold it
        demand = self._number()
        self.open[demand] = name
        self._durations[demand] = duration
        self.tell(Demand(demand, name, hold, kind, port))

    def leave(self, demand: int) -> None:
        self._end(demand, "left")
        self.tell(DemandLeft(demand))

    def _reach(self, program: Program, duration: float = 0.1) -> None:
        request = self._number()
        self.total[program.service] = self.total.get(program.service, 0) + 1
        self._spoke[program.service] = self.now
        program.in_flight.add(request)
        self._later(duration, lambda: self._answer(program, request))

    def _answer(self, program: Program, request: int, patience: int = 20) -> None:
        """A frozen program answers when it is thawed, if its client waits so long."""
        if program.frozen and patience and request in program.in_flight:
            self._later(1.0, lambda: self._answer(program, request, patience - 1))
        else:
            program.in_flight.discard(request)

    def _dies(self, program: Program) -> None:
        program.gone, program.frozen = True, False
        program.in_flight.clear()

    def crash(self, replica: str) -> None:
        """It dies; the news takes its time. Where a start, a thaw or a stop is awaited, that tells it as well."""
        program = self.programs[replica]
        if program.gone:
            return
        self._dies(program)
        program.by_hand = self.random.random() < 0.3

        def told() -> None:
            if not program.told_gone:
                task = program.told_ready and not program.by_hand and self.may_finish(program.service)
                done = task and self.random.random() < 0.5
                self.tell(Exited(replica, "exit code", program.by_hand, done, not done and self._is_left_so(program)))

        self._later(self.random.choice((0.0, 0.005, 0.5)), told)

    def _is_left_so(self, program: Program) -> bool:
        if program.left is None:
            program.left = not program.by_hand and self.always_on(program.service) and self.random.random() < 0.4
        return program.left

    def stop_by_hand(self, replica: str) -> None:
        """Somebody else ends it while it starts: the start that is awaited tells it."""
        program = self.programs[replica]
        if not program.gone and not program.told_ready and not program.stopping and program.endpoints:
            self._dies(program)
            program.by_hand = True

    def crash_as_it_gets_ready(self, replica: str) -> None:
        """The race: it dies after its success is on the way, and the death is told first."""
        program = self.programs[replica]
        attempt = self._operation.get(replica)
        if program.gone or program.told_ready or attempt is None or not program.endpoints:
            return
        del self._operation[replica]
        self._dies(program)
        self.tell(Exited(replica, "exit code 1"))
        self.tell(Ready(replica, attempt))

    def meddle(self, replica: str) -> None:
        """Somebody else freezes it, or thaws what was frozen."""
        program = self.programs[replica]
        if program.runs and program.listening and not program.stopping:
            program.frozen = True
            program.told_frozen = program.told_frozen or replica in self.published
            self.tell(Meddled(replica, "paused"))
        elif program.frozen and not program.gone and self._operation.get(replica) is None:
            program.frozen = False
            self.tell(Meddled(replica, "running"))

    def deafen(self, replica: str) -> None:
        """It closes its listener and lives on; told, as often as somebody looks, while it serves."""
        program = self.programs[replica]
        if program.runs and program.told_ready and not program.stopping:
            program.deaf = True
            if replica in self.published:
                self.tell(Deaf(replica, "it no longer listens on port 80"))

    def appear(self, name: str) -> None:
        """Somebody starts a stopped service by hand."""
        spec = self.catalog.services.get(name)
        if self.closing or spec is None or any(not program.gone for program in self.of(name)):
            return
        number = self._number()
        program = Program(f"{name}-x{number}", name, spec.digest, listening=True)
        program.endpoints = {port.name: f"127.0.0.1:9{number}{n}" for n, port in enumerate(spec.ports)}
        self.programs[program.replica] = program
        self.tell(Appeared(self._found(program)))

    def read(self, missing: frozenset[str] = frozenset()) -> None:
        """One reading of all gateways; of what has left the catalogue there is none."""
        self.tell(Traffic({name: self._flow(name) for name in self.catalog.services if name not in missing}))

    def _flow(self, name: str) -> Flow:
        active = sum(len(program.in_flight) for program in self.of(name))
        silent = self.now - self._spoke.get(name, self.now)
        return Flow(active, self.total.get(name, 0), silent if active else 0.0)

    def measure(self, replica: str, memory: int, cpu: float = 0.0) -> None:
        if not self.programs[replica].gone:
            self.tell(Measured(replica, memory, cpu))

    def _look_at(self, replica: str) -> None:
        program = self.programs.get(replica)
        if program is not None and not program.gone:
            self.tell(Measured(replica, 100 << 20, 0.0, lately=0.5 if self._unlucky() else 0.0))

    def set_budget(self, amount: int | None) -> None:
        self.budget = amount
        self.tell(BudgetSet({} if amount is None else {"memory": amount}))

    def retell(self, outcome: Event) -> None:
        """An outcome comes a second time."""
        self.tell(outcome, stale=True)

    def restart_scaler(self) -> None:
        """The scaler dies with all it had begun, comes back, and finds what really runs. Whoever was held asks again
        under a new number."""
        self._agenda = [one for one in self._agenda if one[2].__name__ != "come"]
        heapq.heapify(self._agenda)
        self._operation.clear()
        self.published.clear()
        self.readings.clear()
        for demand in list(self.open):
            self._end(demand, "left")
        if self.closing:
            self.put_down.clear()
            self.finished.clear()
            self.left.clear()
        self.closing = False
        for replica in [r for r, program in self.programs.items() if program.gone or not program.endpoints]:
            del self.programs[replica]
        found = tuple(self._found(program) for program in self.programs.values())
        budget = {} if self.budget is None else {"memory": self.budget}
        self.tell(Restarted(self.catalog, self.unavailable, budget, found))

    def _found(self, program: Program) -> Adopted:
        phase = "stopping" if program.stopping else "paused" if program.frozen else "ready"
        if phase == "ready" and not program.listening:
            phase = "starting"
        program.told_ready = phase != "starting"
        program.told_frozen, program.told_gone, program.told_busy = program.frozen, False, False
        program.told_deaf = False
        return Adopted(program.replica, program.service, program.endpoints, 1, phase, program.digest)

    # -- the end -----------------------------------------------------------------------------------------------------

    def calm(self, seconds: float) -> None:
        """Nothing fails any more, nobody asks for anything, every reading comes. Whatever is due comes to its end."""
        self.adversity = 0.0
        until = self.now + seconds
        while self.now < until:
            running = [program for program in self.programs.values() if not program.gone]
            for program in running:
                if program.told_busy:
                    self.measure(program.replica, 1)
            if running:
                self.read()
            self.advance(1.0 if running else until - self.now)
