"""What becomes of a request that has no endpoint to go to: pure rules from what it says to a verdict.

Each request at the gate gets exactly one verdict. Who holds it, and how a verdict looks on the wire, stands elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.catalog.model import Service
from services.scaler.core.events import DemandKind
from services.scaler.mesh.base import ServiceView
from services.scaler.mesh.config.common import LONGEST_HOLD
from services.scaler.mesh.names import Lane, Target

PAGE_AFTER = 1.0
"""Seconds until a browser is shown the waiting page."""
READY = "ready"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Request:
    """One check, as far as the rules look at it."""

    target: Target
    method: str
    path: str
    """As the service sees it, without the query."""
    headers: Mapping[str, str]
    """By lower-case name."""


@dataclass(frozen=True, slots=True)
class Hold:
    kind: DemandKind
    seconds: float


@dataclass(frozen=True, slots=True)
class Asleep:
    """Told that the service sleeps, in a way that a monitor takes for well."""


@dataclass(frozen=True, slots=True)
class Through:
    """It serves already, only the gateway has not been told yet: goes on, and counts as no use."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class State:
    """Asked for the service's health."""


@dataclass(frozen=True, slots=True)
class FromMemory:
    """The last good reply is near enough."""


@dataclass(frozen=True, slots=True)
class CrossSite:
    """Another site's page asks, and may not wake anything."""

    navigation: bool
    """A person followed a link: shown a page with a link that is ours."""


Verdict = Hold | Asleep | Through | State | FromMemory | CrossSite


def judge(
    request: Request, service: Service, view: ServiceView, *, hub_origins: Collection[str], remembered: bool
) -> Verdict:
    """`hub_origins`: origins of the hub itself. `remembered`: a good reply to this path is at hand."""
    # 1. What never wakes, whoever asks.
    if request.target.lane is Lane.HEALTH:
        return State()
    foreign = not request.target.inside and is_foreign(request.headers, service.wake.allow_origins, hub_origins)
    at_hand = remembered and view.state != READY and _is_answered(request, service)
    if request.target.lane is Lane.BACKGROUND:
        if at_hand and not foreign:
            return FromMemory()
        endpoint = view.endpoints.get(request.target.port)
        return Through(endpoint) if endpoint else Asleep()
    # 2. Whose wish does not count. No page of another site reaches a name inside a container network.
    if foreign:
        return CrossSite(navigation=_is_navigation(request))
    # 3. What can be answered without it.
    if at_hand:
        return FromMemory()
    # 4. Held: a browser's page briefly, everything else as long as it may take.
    if not request.target.inside and _is_navigation(request):
        return Hold(DemandKind.PAGE, PAGE_AFTER)
    return Hold(DemandKind.REQUEST, _hold(request.headers, service, view))


def _is_answered(request: Request, service: Service) -> bool:
    return request.method in ("GET", "HEAD") and request.path in service.wake.answer


def _hold(headers: Mapping[str, str], service: Service, view: ServiceView) -> float:
    """Seconds. A wait that is known to outlast the limit is told at once: the wake begins, the caller is not kept."""
    asked = asked_wait(headers.get("x-hub-wait"))
    if asked is not None:
        return asked
    if view.state != READY and view.estimate is not None and view.estimate > service.wake.hold:
        return 0.0
    return service.wake.hold


def asked_wait(value: str | None) -> float | None:
    """`X-Hub-Wait` in seconds, capped; None where it is absent or no number."""
    try:
        seconds = float(value) if value else math.nan
    except ValueError:
        return None
    return min(seconds, float(LONGEST_HOLD)) if seconds >= 0 else None


def _is_navigation(request: Request) -> bool:
    if request.method != "GET":
        return False
    mode = request.headers.get("sec-fetch-mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in request.headers.get("accept", "") and "upgrade" not in request.headers


def is_foreign(headers: Mapping[str, str], allowed: Collection[str], hub_origins: Collection[str]) -> bool:
    """Whether a page of another site asks. Programs send neither header, and are never foreign."""
    origin = headers.get("origin")
    if origin is not None and (origin in allowed or origin in hub_origins):
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "cross-site"
    # Browsers leave out Sec-Fetch-* on plain HTTP beyond loopback.
    return origin is not None and not _same_site(origin, headers.get("x-forwarded-host", ""))


def _same_site(origin: str, hosts: str) -> bool:
    """`hosts`: of proxies in a row each adds its own behind; the first was asked by the browser. As for
    Sec-Fetch-Site, the port does not matter, and a proxy may have left it out."""
    try:
        theirs, ours = urlsplit(origin).hostname, urlsplit(f"//{hosts.partition(',')[0].strip()}").hostname
    except ValueError:
        return False
    return theirs is not None and (theirs == ours or (theirs in _LOOPBACK and ours in _LOOPBACK))
