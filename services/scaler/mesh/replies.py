"""What the check endpoint says on the wire: the one table from refusals to codes, and the bodies that go with them.

Pure. Programs get JSON, browsers a page, gRPC clients a status whose message is the plain reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from services.scaler.core.effects import Refusal, Refuse
from services.scaler.mesh.base import ServiceView
from services.scaler.mesh.config.gate import CODES, DESTINATION_HEADER
from services.scaler.mesh.page import Page, render_cross_site, render_waiting

STATE_HEADER = "x-hub-state"
_JSON = "application/json"
_REFUSALS: Mapping[Refusal, int] = MappingProxyType(
    {
        Refusal.WAITING: 503,
        Refusal.FAILED: 502,
        Refusal.BACKOFF: 503,
        Refusal.NO_ROOM: 503,
        Refusal.UNAVAILABLE: 501,
        Refusal.CROWDED: 503,
        Refusal.SHUTDOWN: 503,
    }
)


@dataclass(frozen=True, slots=True)
class Reply:
    """`status` is what the client shall see; `code` what the gate has to be told for it."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def code(self) -> int:
        return CODES.get(self.status, self.status)


@dataclass(frozen=True, slots=True)
class Client:
    """How the answer will be read."""

    grpc: bool = False
    browser: bool = False
    """Shown pages."""
    mount: str = ""
    """`/api/NAME` where the service is seen below a path; empty at an origin of its own."""


def go_on(endpoint: str) -> Mapping[str, str]:
    """Headers of the 200 by which the gate forwards to `endpoint`."""
    return {DESTINATION_HEADER: endpoint}


def state_of(view: ServiceView) -> dict[str, Any]:
    """A service's state as JSON: health answers and what the waiting page asks for have this one form."""
    return {
        "service": view.name,
        "state": view.state,
        "phase": view.phase,
        "detail": view.detail,
        "progress": view.progress,
        "estimate_s": view.estimate,
        "queue_position": view.queue_position,
        "reason": view.reason,
    }


def refused(refuse: Refuse, view: ServiceView, client: Client) -> Reply:
    status = _REFUSALS[refuse.refusal]
    retry_after = max(1, math.ceil(refuse.retry_after))
    headers = {"retry-after": str(retry_after), "cache-control": "no-store", STATE_HEADER: _told(view)}
    if client.grpc:
        # 501 would become UNKNOWN; a call that cannot be served here is UNIMPLEMENTED.
        status = 404 if status == 501 else 503
        return Reply(status, refuse.reason.encode(), {**headers, "content-type": "text/plain"})
    if client.browser:
        page = render_waiting(view, refuse, client.mount)
        return Reply(status, page.body, {**headers, **_page_headers(page)})
    body = {
        "error": {
            "code": refuse.refusal.value,
            "message": refuse.reason,
            "service": view.name,
            "phase": view.phase or view.state,
            "progress": view.progress,
            "estimate_s": view.estimate,
            "queue_position": view.queue_position,
            "retry_after_s": retry_after,
        }
    }
    return Reply(status, json.dumps(body).encode(), {**headers, "content-type": _JSON})


_SLEEPS = frozenset({"paused", "stopped", "stopping", "draining"})


def _told(view: ServiceView) -> str:
    """The state in one word for programs: of a service at rest or on the way there, that it sleeps. How it sleeps is
    the hub's affair, and stands in the body where there is one."""
    return "asleep" if view.state in _SLEEPS else view.state


def unknown(name: str) -> Reply:
    return _error(404, "not-found", f"there is no service {name!r}; /api/health lists those there are", name)


def cross_site(view: ServiceView, origin: str | None, *, navigation: bool) -> Reply:
    if navigation:
        page = render_cross_site(view)
        return Reply(403, page.body, {"cache-control": "no-store", **_page_headers(page)})
    who = origin or "another site"
    message = f"{who} may not wake {view.name}; list its origin under x-hub wake.allow_origins to let it"
    return _error(403, "cross-site", message, view.name)


def asleep(view: ServiceView) -> Reply:
    """Empty: a monitor looks at the code alone, and a scraper takes an empty body for no figures."""
    status = 503 if view.state == "failed" else 200
    return Reply(status, b"", {STATE_HEADER: _told(view), "cache-control": "no-store"})


def health(view: ServiceView) -> Reply:
    status = 503 if view.state == "failed" else 200
    headers = {STATE_HEADER: _told(view), "cache-control": "no-store", "content-type": _JSON}
    return Reply(status, json.dumps(state_of(view)).encode(), headers)


def from_memory(view: ServiceView, content_type: str, body: bytes) -> Reply:
    return Reply(200, body, {STATE_HEADER: _told(view), "cache-control": "no-store", "content-type": content_type})


def _error(status: int, code: str, message: str, service: str) -> Reply:
    body = {"error": {"code": code, "message": message, "service": service}}
    return Reply(status, json.dumps(body).encode(), {"content-type": _JSON, "cache-control": "no-store"})


def _page_headers(page: Page) -> Mapping[str, str]:
    return {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": page.policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "referrer-policy": "no-referrer",
        "vary": "accept, sec-fetch-mode, sec-fetch-site",
    }
