"""The verdict on each request at the gate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.model import Port, Service, Wake
from services.scaler.core.events import DemandKind
from services.scaler.mesh.base import ServiceView
from services.scaler.mesh.names import Lane, Target
from services.scaler.mesh.rules import (
    Asleep,
    CrossSite,
    FromMemory,
    Hold,
    Request,
    State,
    Through,
    Verdict,
    asked_wait,
    judge,
)

SERVICE = Service(
    "chat",
    ports=(Port("main", 1),),
    wake=Wake(hold=100.0, answer=("/v1/models",), allow_origins=("https://friend.example",)),
)
HUB = frozenset({"http://localhost:8000", "http://tabby.localhost:8000"})


def verdict(
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    path: str = "/x",
    lane: Lane = Lane.USE,
    remembered: bool = False,
    **view: Any,
) -> Verdict:
    request = Request(Target("chat", "main", lane), method, path, headers or {})
    seen = ServiceView("chat", **{"state": "stopped", **view})
    return judge(request, SERVICE, seen, hub_origins=HUB, remembered=remembered)


def test_a_program_is_held_for_the_services_hold() -> None:
    assert verdict() == Hold(DemandKind.REQUEST, 100.0)


def test_a_quiet_request_goes_on_where_a_replica_serves_that_the_gateway_has_not_been_told_of() -> None:
    serving = {"state": "ready", "endpoints": {"main": "127.0.0.1:9"}}
    assert verdict(lane=Lane.BACKGROUND, **serving) == Through("127.0.0.1:9")
    assert verdict(lane=Lane.BACKGROUND, state="ready", endpoints={"other": "127.0.0.1:9"}) == Asleep()
    assert verdict(**serving) == Hold(DemandKind.REQUEST, 100.0)


@pytest.mark.parametrize(
    ("headers", "method", "page"),
    [
        ({"sec-fetch-mode": "navigate", "sec-fetch-site": "none"}, "GET", True),
        ({"accept": "text/html,*/*"}, "GET", True),
        ({"accept": "text/html", "sec-fetch-mode": "cors"}, "GET", False),
        ({"accept": "*/*"}, "GET", False),
        ({"sec-fetch-mode": "navigate"}, "POST", False),
        ({"accept": "text/html", "upgrade": "websocket"}, "GET", False),
    ],
)
def test_only_a_browsers_get_navigation_is_shown_a_page(headers: dict[str, str], method: str, page: bool) -> None:
    found = verdict(headers, method=method)
    assert isinstance(found, Hold)
    assert (found.kind is DemandKind.PAGE) == page


@pytest.mark.parametrize(
    ("headers", "wakes"),
    [
        ({}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://friend.example"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://tabby.localhost:8000"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"sec-fetch-site": "same-site", "origin": "http://localhost:3000"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": "https://evil.example", "x-forwarded-host": "192.168.1.5:8000"}, False),
        ({"origin": "http://192.168.1.5:8000", "x-forwarded-host": "192.168.1.5:8000"}, True),
        ({"origin": "http://localhost:3000", "x-forwarded-host": "127.0.0.1:8000"}, True),
        # A proxy on another port than the usual that passes on the name without it, and two that stand in a row.
        ({"origin": "http://nas.lan:81", "x-forwarded-host": "nas.lan"}, True),
        ({"origin": "http://NAS.lan", "x-forwarded-host": "nas.LAN"}, True),
        ({"origin": "http://nas.lan", "x-forwarded-host": "nas.lan, inner:8080"}, True),
        ({"origin": "http://evil.example", "x-forwarded-host": "nas.lan, evil.example"}, False),
        ({"origin": "http://nas.lan.evil.example", "x-forwarded-host": "nas.lan"}, False),
        ({"origin": "http:", "x-forwarded-host": ""}, False),
        ({"origin": "null", "x-forwarded-host": "localhost:8000"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://friend.example.evil.example"}, False),
        ({"origin": ""}, False),
    ],
)
def test_a_page_of_another_site_never_wakes_unless_its_origin_is_allowed(headers: dict[str, str], wakes: bool) -> None:
    assert isinstance(verdict(headers), Hold) == wakes


def test_a_followed_link_is_told_from_a_request_of_a_page() -> None:
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert verdict(followed) == CrossSite(navigation=True)
    assert verdict(followed, method="POST") == CrossSite(navigation=False)
    assert verdict({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}) == CrossSite(navigation=False)


def test_health_and_background_wake_nothing_whoever_asks() -> None:
    for headers in ({}, {"sec-fetch-site": "cross-site"}, {"x-hub-wait": "10"}):
        assert verdict(headers, lane=Lane.HEALTH) == State()
        assert verdict(headers, lane=Lane.BACKGROUND) == Asleep()


def test_memory_answers_those_who_only_look_too_and_no_other_site() -> None:
    quiet = Lane.BACKGROUND
    assert verdict(path="/v1/models", remembered=True, lane=quiet) == FromMemory()
    assert verdict(path="/v1/models", remembered=False, lane=quiet) == Asleep()
    assert verdict(path="/other", remembered=True, lane=quiet) == Asleep()
    assert verdict(path="/v1/models", method="POST", remembered=True, lane=quiet) == Asleep()
    assert verdict({"sec-fetch-site": "cross-site"}, path="/v1/models", remembered=True, lane=quiet) == Asleep()


def test_memory_answers_gets_of_the_named_paths_of_a_sleeping_service() -> None:
    assert verdict(path="/v1/models", remembered=True) == FromMemory()
    assert verdict(path="/v1/models", method="HEAD", remembered=True) == FromMemory()
    assert isinstance(verdict(path="/v1/models", method="POST", remembered=True), Hold)
    assert isinstance(verdict(path="/v1/models", remembered=False), Hold)
    assert isinstance(verdict(path="/v1/models", remembered=True, state="ready"), Hold)
    assert isinstance(verdict(path="/other", remembered=True), Hold)


def test_memory_does_not_answer_other_sites() -> None:
    assert isinstance(verdict({"sec-fetch-site": "cross-site"}, path="/v1/models", remembered=True), CrossSite)


@pytest.mark.parametrize(
    ("estimate", "asked", "held"),
    [(None, None, 100.0), (99.0, None, 100.0), (101.0, None, 0.0), (101.0, "600", 600.0), (5.0, "0", 0.0)],
)
def test_a_wait_known_to_outlast_the_hold_is_not_held_unless_asked_for(
    estimate: float | None, asked: str | None, held: float
) -> None:
    assert verdict({"x-hub-wait": asked} if asked else {}, estimate=estimate) == Hold(DemandKind.REQUEST, held)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("600", 600.0),
        ("99999", 3600.0),
        ("inf", 3600.0),
        ("1.5", 1.5),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("x", None),
    ],
)
def test_the_asked_wait_is_capped_and_nonsense_is_ignored(text: str, seconds: float | None) -> None:
    assert asked_wait(text) == seconds


@given(
    st.dictionaries(
        st.sampled_from(["accept", "origin", "sec-fetch-mode", "sec-fetch-site", "x-hub-wait", "x-forwarded-host"]),
        st.text(max_size=30),
    ),
    st.sampled_from(["GET", "POST", "OPTIONS", "HEAD"]),
)
def test_every_request_gets_a_verdict(headers: dict[str, str], method: str) -> None:
    found = verdict(headers, method=method)
    if headers.get("sec-fetch-site") == "cross-site" and headers.get("origin") not in (*HUB, "https://friend.example"):
        assert isinstance(found, CrossSite)
    if isinstance(found, Hold):
        assert 0 <= found.seconds <= 3600


def test_inside_a_network_everybody_is_a_program() -> None:
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    request = Request(Target("chat", "main", inside=True), "GET", "/", headers)
    seen = ServiceView("chat", "stopped")
    assert judge(request, SERVICE, seen, hub_origins=HUB, remembered=False) == Hold(DemandKind.REQUEST, 100.0)
    quiet = replace(request, target=Target("chat", "main", Lane.BACKGROUND, inside=True))
    assert judge(quiet, SERVICE, seen, hub_origins=HUB, remembered=False) == Asleep()
