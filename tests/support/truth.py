"""What is physically so in the model world, and what the fleet has been told of it. Never the fleet's own books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.catalog.model import Catalog
from services.scaler.core.events import (
    CatalogLoaded,
    Deaf,
    Drained,
    Event,
    Exited,
    Flow,
    Measured,
    Meddled,
    Paused,
    PinSet,
    Pruned,
    Ready,
    Resumed,
    ShutdownAsked,
    StartFailed,
    Traffic,
    Unpinned,
    Withdrawn,
)

NO_READING = (float("-inf"), Flow(0, 0))


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
    stopping: bool = False
    in_flight: set[int] = field(default_factory=set)
    told_ready: bool = False
    told_gone: bool = False
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
        self.interrupted: set[str] = set()
        """Services of which somebody else has ended a start since they last served or failed."""
        self.forgiven = ""
        """The service whose start somebody else has just ended, as the first one."""
        self.closing = False

    def of(self, service: str) -> list[Program]:
        return [program for program in self.programs.values() if program.service == service]

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
        match event:
            case Traffic():
                for name, flow in event.flows.items():
                    self.readings[name] = (self.now, flow)
                    if self.counted(name):
                        self.uses[name] = self.now
            case CatalogLoaded():
                self.catalog, self.unavailable = event.catalog, event.unavailable
                for name in [name for name in self.pins if name not in event.catalog.services]:
                    self.old_pins[name] = self.pins.pop(name)
            case PinSet() if event.service in self.catalog.services:
                self.pins[event.service] = float("inf") if event.until is None else event.until
            case Unpinned():
                self.pins.pop(event.service, None)
            case Pruned():
                self.installed.pop(event.service, None)
            case ShutdownAsked():
                self.closing = True
            case _:
                pass

    def _learn_of(self, program: Program, event: Event) -> None:
        match event:
            case Exited():
                program.told_gone = True
            case Ready():
                if not program.told_gone:
                    self.interrupted.discard(program.service)
                program.told_ready = True
            case StartFailed() if event.by_hand and program.service not in self.interrupted:
                self.interrupted.add(program.service)
                self.forgiven = program.service
            case StartFailed():
                self.interrupted.discard(program.service)
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
