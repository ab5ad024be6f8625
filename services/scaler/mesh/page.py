"""The pages that people see while a service wakes: one HTML file with everything in it, no external asset.

Pure: from what is known of the service to bytes and the Content-Security-Policy that fits them. Every text is escaped.
Without JavaScript the page asks again by itself; a reload makes no entry in the history and keeps the whole URL.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from services.scaler.core.effects import Refusal, Refuse
from services.scaler.mesh.base import ServiceView
from services.scaler.mesh.config.service_routes import HUB_PATH


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    policy: str
    """Content-Security-Policy."""


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


_PAGE = Template(_asset("page.html"))
_STYLE = _asset("page.css")
_SCRIPT = _asset("page.js")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

_FINAL = (Refusal.FAILED, Refusal.BACKOFF, Refusal.UNAVAILABLE)
"""Nothing goes on by itself after these: the page says why, and offers to try again."""


def render_waiting(view: ServiceView, refuse: Refuse, mount: str) -> Page:
    """`mount`: `/api/NAME` where the page is seen below a path."""
    failed = refuse.refusal in _FINAL
    notes = [
        view.detail,
        _about(view.estimate),
        f"number {view.queue_position} in the queue for memory" if view.queue_position else "",
    ]
    refresh = f'<noscript><meta http-equiv="refresh" content="{max(2, math.ceil(refuse.retry_after))}"></noscript>'
    return _page(
        title=f"{view.name} could not be started" if failed else f"{view.name} is waking up",
        heading=view.name if failed else f"{view.name} is waking up",
        phase="could not be started" if failed else view.phase or view.state,
        service=view.name,
        ask=f"/api/health/{view.name}" if mount else f"{HUB_PATH}state",
        kind="failed" if failed else "waiting",
        progress=view.progress,
        bar="none" if failed else "",
        note="" if failed else " · ".join(note for note in notes if note),
        reason=refuse.reason if failed else "",
        act="Try again" if failed else "",
        refresh="" if failed else refresh,
        script=f"<script>{_SCRIPT}</script>",
    )


def render_cross_site(view: ServiceView) -> Page:
    """Somebody followed a link on another site: one click of their own wakes the service."""
    return _page(
        title=f"Open {view.name}?",
        heading=f"Open {view.name}?",
        phase=f"Another site has sent you here. {view.name} is asleep and is not woken by other sites.",
        service=view.name,
        bar="none",
        act=f"Open {view.name}",
    )


def _about(estimate: float | None) -> str:
    if not estimate:
        return ""
    if estimate < 2:
        return "a moment"
    return f"about {math.ceil(estimate)} s" if estimate < 90 else f"about {math.ceil(estimate / 60)} min"


def _page(
    *,
    title: str,
    heading: str,
    phase: str,
    service: str,
    ask: str = "",
    kind: str = "",
    progress: float | None = None,
    bar: str = "",
    note: str = "",
    reason: str = "",
    act: str = "",
    refresh: str = "",
    script: str = "",
) -> Page:
    percent = None if progress is None else round(100 * min(1.0, max(0.0, progress)))
    words = {"title": title, "heading": heading, "phase": phase, "service": service, "ask": ask, "kind": kind}
    words |= {"note": note, "reason": reason, "act": act}
    text = _PAGE.substitute(
        {key: html.escape(value) for key, value in words.items()},
        style=_STYLE,
        script=script,
        refresh=refresh,
        bar_class=f" {bar}" if bar else "" if percent is not None else " unknown",
        bar_value="" if percent is None else f' aria-valuenow="{percent}"',
        reason_hidden="" if reason else " hidden",
        act_hidden="" if act else " hidden",
    )
    return Page(text.encode(), _POLICY)
