"""The book of containers: what it makes of events and listings."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scaler.drivers.docker.book import Book, State, What

LABELS = {
    "com.docker.compose.project": "p",
    "com.docker.compose.service": "web",
    "com.docker.compose.container-number": "2",
    "com.docker.compose.config-hash": "h",
    "com.docker.compose.image": "sha256:i",
    "com.docker.compose.oneoff": "False",
}


def event(action: str, identity: str = "one", **more: str) -> dict[str, Any]:
    attributes = {**LABELS, "name": f"p-web-{identity}", "image": "web:1", **more}
    return {"Type": "container", "Action": action, "Actor": {"ID": identity, "Attributes": attributes}}


def row(state: str, identity: str = "one", status: str = "", **more: Any) -> dict[str, Any]:
    names = [f"/p-web-{identity}"]
    return {
        "Id": identity,
        "Names": names,
        "State": state,
        "Status": status,
        "Labels": LABELS,
        "Image": "web:1",
        **more,
    }


def test_a_life_is_followed_by_its_events() -> None:
    book = Book()
    steps = ["create", "start", "pause", "unpause", "kill", "die", "destroy"]
    seen = [change.what for action in steps if (change := book.take(event(action)))]
    assert seen == [What.CREATED, What.STARTED, What.PAUSED, What.UNPAUSED, What.SIGNALLED, What.ENDED, What.REMOVED]
    assert list(book) == []


def test_what_an_event_tells_is_kept() -> None:
    book = Book()
    book.take(event("start"))
    found = book.get("one")
    assert found is not None
    assert (found.project, found.service, found.number, found.hash, found.image_id) == ("p", "web", 2, "h", "sha256:i")
    book.take(event("health_status: healthy"))
    book.take(event("rename", name="other"))
    book.take(event("die", exitCode="137"))
    found = book.get("one")
    assert found is not None
    assert (found.health, found.name, found.exit_code, found.state) == ("healthy", "other", 137, State.ENDED)


def test_what_compose_did_not_make_for_good_is_not_kept() -> None:
    book = Book()
    stranger = event("start")
    stranger["Actor"]["Attributes"] = {"name": "x"}
    assert book.take(stranger) is None
    assert book.take(event("start", **{"com.docker.compose.oneoff": "True"})) is None
    assert book.take(event("exec_start: sh")) is None
    assert book.put_right([{**row("running"), "Labels": {}}]) == []
    assert list(book) == []


def test_a_listing_tells_what_was_missed() -> None:
    book = Book()
    for identity in ("dead", "gone", "frozen", "same"):
        book.take(event("start", identity))
    found = [row("exited", "dead"), row("paused", "frozen"), row("running", "same"), row("running", "new")]
    told = {(change.container.id, change.what) for change in book.put_right(found)}
    assert told == {
        ("gone", What.REMOVED),
        ("dead", What.ENDED),
        ("frozen", What.PAUSED),
        ("new", What.STARTED),
    }
    assert book.put_right(found) == []


def test_the_health_of_a_listing_is_read_from_its_status() -> None:
    book = Book()
    for status, health in (
        ("Up 3 seconds (healthy)", "healthy"),
        ("Up 1 second (health: starting)", "starting"),
        ("Up 2 hours (unhealthy)", "unhealthy"),
        ("Up 2 hours", None),
        ("Up 2 hours (Paused)", None),
    ):
        book.put_right([row("running", status=status)])
        assert book.get("one").health == health  # type: ignore[union-attr]


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["create", "start", "pause", "unpause", "kill", "die", "destroy"]), st.sampled_from("ab"))
)


@given(ACTIONS)
def test_a_listing_of_what_the_book_holds_changes_nothing(actions: list[tuple[str, str]]) -> None:
    book = Book()
    for action, identity in actions:
        book.take(event(action, identity))
    listed = {State.CREATED: "created", State.RUNNING: "running", State.PAUSED: "paused", State.ENDED: "exited"}
    assert book.put_right([row(listed[one.state], one.id) for one in book]) == []
