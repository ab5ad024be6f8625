"""What is physically so in the model world, and what the fleet has been told of it. Never the fleet's own books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.catalog.model import Catalog
from services.scaler.core.events import (
    Appeared,
    CatalogLoaded,
    Deaf,
    Demand,
    Drained,
    End,
    Event,
    Exited,
    Flow,
    Measured,
    Meddled,
    Paused,
    PinSet,
    PrepareFailed,
    Pruned,
    Ready,
    RestartAsked,
    Restarted,
    Resumed,
    ResumeFailed,
    ShutdownAsked,
    StartFailed,
    Traffic,
    Unpinned,
    Withdrawn,
)

NO_READING = (float("-inf"), Flow(0, 0))
RESTARTS_AT_MOST = 400.0
"""Seconds after which no restart of the model world is under way any more."""


@dataclass(slots=True)
class Program:
    """One replica as it really is, and what the fleet has been told of it."""

    replica: str
    service: str
    digest: str
    endpoints: dict[str, str] = field(default_factory=dict)
    listening: bool = False
    deaf: bool = False
    """It has closed its listener."""
    frozen: bool = False
    gone: bool = False
    by_hand: bool = False
    """Somebody else has ended it."""
    left: bool | None = None
    """Of one that has failed: whether whoever runs it leaves it so; None before anybody was told."""
    stopping: bool = False
    in_flight: set[int] = field(default_factory=set)
    told_ready: bool = False
    told_gone: bool = False
    told_over: bool = False
    """Its start or thaw was told to have failed: what else is heard of it is no news."""
    told_frozen: bool = False
    told_deaf: bool = False
    measured_at: float = float("-inf")
    """When the fleet was last told of its size and its work."""
    told_busy: bool = False
    told_quiet: bool = False
    """`Drained` was the last word of the mesh."""
    told_withdrawn: bool = False
    overlooked: bool = False
    """It is drained although silent requests are in flight."""

    @property
    def runs(self) -> bool:
        return not self.gone and not self.frozen


class Truth:
    """The facts that the laws are judged by."""

    def __init__(self) -> None:
        self.now = 100.0
        self.catalog = Catalog()
        self.unavailable: Mapping[str, str] = {}
        self.budget: int | None = None
        self.programs: dict[str, Program] = {}
        self.published: dict[str, str] = {}
        """Replica → `serving` or `draining`, as every gateway has it."""
        self.installed: dict[str, str] = {}
        """Service → digest of what was installed."""
        self.open: dict[int, str] = {}
        """Demands that are not over, with their service."""
        self.ended: dict[int, str] = {}
        self.total: dict[str, int] = {}
        """Requests begun so far, as the gateways count them."""
        self.pins: dict[str, float] = {}
        self.old_pins: dict[str, float] = {}
        """Of services that left the catalogue while pinned; if they come back, either is right."""
        self.readings: dict[str, tuple[float, Flow]] = {}
        """The last reading of each service that the fleet had, and when."""
        self.uses: dict[str, float] = {}
        """When the fleet last learned of a use that no policy can overlook."""
        self.released_at: dict[str, float] = {}
        self.put_down: dict[str, float] = {}
        """Always on, and ended by somebody else or of itself for good, since when; until it is started or appears."""
        self.finished: set[str] = set()
        """Tasks among these that have done their work."""
        self.left: set[str] = set()
        """Among these, what failed and by its entry is not started again."""
        self.asked: dict[str, float] = {}
        """When somebody last asked for a service, by whatever means."""
        self.stirred: dict[str, float] = {}
        """When something last happened to a replica of it."""
        self.interrupted: set[str] = set()
        """Services of which somebody else has ended a start since they last served or failed."""
        self.forgiven = ""
        """The service whose start somebody else has just ended, as the first one."""
        self.closing = False

    def of(self, service: str) -> list[Program]:
        return [program for program in self.programs.values() if program.service == service]

    def up_again(self, service: str) -> None:
        """Whatever had ended it holds no longer."""
        self.put_down.pop(service, None)
        self.finished.discard(service)
        self.left.discard(service)

    def may_finish(self, service: str) -> bool:
        spec = self.catalog.services.get(service)
        return spec is not None and spec.may_finish

    def _forget_changed_ends(self, catalog: Catalog) -> None:
        for name in list(self.finished):
            before, now = self.catalog.services.get(name), catalog.services.get(name)
            if before is None or now is None or not now.may_finish or now.digest != before.digest:
                self.up_again(name)
        for name in list(self.left):
            before, now = self.catalog.services.get(name), catalog.services.get(name)
            if before is None or now is None or now.lazy or now.digest != before.digest:
                self.up_again(name)

    def always_on(self, service: str) -> bool:
        spec = self.catalog.services.get(service)
        return spec is not None and not spec.lazy

    def counted(self, service: str) -> int:
        """Requests in flight by the last reading, less what was silent for longer than the catalogue lets it count."""
        spec = self.catalog.services.get(service)
        limit = spec.busy.websocket_idle if spec is not None else None
        _, flow = self.readings.get(service, NO_READING)
        return 0 if limit is not None and flow.silent >= limit else flow.active

    def learn(self, event: Event) -> None:
        """What the fleet knows once this event is handled."""
        program = self.programs.get(getattr(event, "replica", ""))
        self.forgiven = ""
        if program is not None:
            self._learn_of(program, event)
            self.stirred[program.service] = self.now
        match event:
            case Demand():
                self.asked[event.service] = self.now
            case RestartAsked():
                # It ends by and by, and comes back whoever has ended it.
                self.asked[event.service] = self.now + RESTARTS_AT_MOST
            case Appeared():
                self.up_again(event.found.service)
                self.stirred[event.found.service] = self.now
            case Restarted():
                self.stirred = dict.fromkeys(event.catalog.services, self.now)
            case Traffic():
                for name, flow in event.flows.items():
                    self.readings[name] = (self.now, flow)
                    if self.counted(name):
                        self.uses[name] = self.now
            case CatalogLoaded():
                self._forget_changed_ends(event.catalog)
                self.catalog, self.unavailable = event.catalog, event.unavailable
                self.stirred = dict.fromkeys(event.catalog.services, self.now)
                self.put_down = {name: at for name, at in self.put_down.items() if self.always_on(name)}
                for name in [name for name in self.pins if name not in event.catalog.services]:
                    self.old_pins[name] = self.pins.pop(name)
            case PinSet() if event.service in self.catalog.services:
                self.pins[event.service] = float("inf") if event.until is None else event.until
                self.asked[event.service] = self.now
            case Unpinned():
                self.pins.pop(event.service, None)
            case PrepareFailed() if event.not_ours and self.always_on(event.service):
                self.put_down[event.service] = self.now
                self.left.discard(event.service)
            case Pruned():
                self.installed.pop(event.service, None)
            case ShutdownAsked():
                self.closing = True
            case _:
                pass

    def _learn_of(self, program: Program, event: Event) -> None:
        match event:
            case Exited():
                if not (program.told_gone or program.told_over or program.stopping):
                    self.up_again(program.service)
                    if event.end is End.FINISHED:
                        self.finished.add(program.service)
                        self.put_down[program.service] = self.now
                    if event.end is End.BY_HAND and self.always_on(program.service):
                        self.put_down[program.service] = self.now
                    self._is_left(program, event)
                program.told_gone = True
            case ResumeFailed():
                program.told_over = True
            case Ready():
                if not program.told_gone:
                    self.interrupted.discard(program.service)
                program.told_ready = True
            case StartFailed():
                self._learn_of_failure(program, event)
                program.told_over = True
            case Drained():
                program.told_quiet = True
            case Withdrawn():
                program.told_withdrawn = not event.moved
            case Paused():
                program.told_frozen, program.told_busy = True, False
            case Meddled():
                program.told_busy = False
            case Deaf():
                program.told_deaf, program.told_busy = True, False
            case Resumed():
                program.told_frozen = False
            case Measured():
                program.told_busy, program.measured_at = event.busy or event.cpu > 0.1, self.now
                if program.told_busy:
                    self.uses[program.service] = self.now
            case _:
                pass

    def _is_left(self, program: Program, event: Exited | StartFailed) -> None:
        if event.end is End.LEFT and not program.told_over and self.always_on(program.service):
            self.left.add(program.service)
            self.put_down[program.service] = self.now

    def _learn_of_failure(self, program: Program, event: StartFailed) -> None:
        if event.end is End.BY_HAND and not program.told_over and self.always_on(program.service):
            self.put_down[program.service] = self.now
        self._is_left(program, event)
        if event.end is End.BY_HAND and program.service not in self.interrupted:
            self.interrupted.add(program.service)
            self.forgiven = program.service
        else:
            self.interrupted.discard(program.service)
