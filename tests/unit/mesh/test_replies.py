"""What is said on the wire, to programs, people and gRPC clients; nothing of it can be turned against its reader."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scaler.core.effects import Refusal, Refuse
from services.scaler.mesh import replies
from services.scaler.mesh.base import ServiceView
from services.scaler.mesh.page import render_cross_site, render_waiting
from services.scaler.mesh.replies import Client

WAITING = Refuse(1, Refusal.WAITING, "still starting", 2.5)


@pytest.mark.parametrize("refusal", Refusal)
def test_the_gate_is_never_told_a_5xx(refusal: Refusal) -> None:
    for client in (Client(), Client(grpc=True), Client(browser=True)):
        reply = replies.refused(Refuse(1, refusal, "r", 1.0), ServiceView("s", "stopped"), client)
        assert reply.status >= 400
        assert 400 <= reply.code < 500


def test_well_is_told_by_a_code_of_its_own() -> None:
    """200 would be the word to go on."""
    view = ServiceView("s", "stopped")
    for reply in (replies.asleep(view), replies.health(view), replies.from_memory(view, "text/plain", b"x")):
        assert reply.status == 200
        assert 400 <= reply.code < 500


@pytest.mark.parametrize(
    ("state", "told"),
    [
        *((state, "asleep") for state in ("paused", "stopped", "stopping", "draining")),
        *((state, state) for state in ("starting", "queued", "installing", "failed", "unavailable")),
    ],
)
def test_monitors_are_told_that_it_sleeps_and_not_how(state: str, told: str) -> None:
    view = ServiceView("s", state)
    for reply in (replies.asleep(view), replies.health(view), replies.from_memory(view, "text/plain", b"x")):
        assert reply.headers[replies.STATE_HEADER] == told
    assert json.loads(replies.health(view).body)["state"] == state


def test_retry_after_is_whole_seconds_and_never_zero() -> None:
    view = ServiceView("s", "stopped")
    for seconds, said in ((0.0, "1"), (0.2, "1"), (2.5, "3"), (60.0, "60")):
        reply = replies.refused(Refuse(1, Refusal.WAITING, "r", seconds), view, Client())
        assert reply.headers["retry-after"] == said
        assert json.loads(reply.body)["error"]["retry_after_s"] == int(said)


def test_a_grpc_client_gets_the_plain_reason() -> None:
    reply = replies.refused(WAITING, ServiceView("s", "stopped"), Client(grpc=True))
    assert (reply.status, reply.body) == (503, b"still starting")


@given(st.text(), st.text(), st.text(), st.one_of(st.none(), st.floats()), st.sampled_from(Refusal))
def test_every_text_on_the_page_is_escaped(
    name: str, phase: str, reason: str, progress: float | None, refusal: Refusal
) -> None:
    hostile = '"><script>alert(1)</script>'
    if progress is not None and progress != progress:
        progress = None
    view = ServiceView(name + hostile, "starting", phase + hostile, hostile, progress, 5.0, 1, reason + hostile)
    for page in (render_waiting(view, Refuse(1, refusal, reason + hostile, 1.0), "/api/x"), render_cross_site(view)):
        text = page.body.decode()
        assert hostile not in text
        assert text.count("<script") <= 1
        assert html.escape(hostile) in text


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else() -> None:
    page = render_waiting(ServiceView("s", "starting"), WAITING, "")
    text = page.body.decode()
    for tag in ("style", "script"):
        found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert found
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert "style=" not in text
    assert not re.search(r"(?:src|href)=\"[^\"]+\"", text), "no external asset"


def test_the_page_asks_again_by_itself_without_a_script() -> None:
    assert (
        '<noscript><meta http-equiv="refresh" content="3"></noscript>'
        in render_waiting(ServiceView("s", "starting"), WAITING, "").body.decode()
    )


def test_a_failure_is_final_until_somebody_tries_again() -> None:
    page = render_waiting(ServiceView("s", "failed"), Refuse(1, Refusal.FAILED, "exit code 1", 1.0), "")
    text = page.body.decode()
    assert "http-equiv" not in text
    assert "exit code 1" in text
    assert "Try again" in text
