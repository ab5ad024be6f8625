"""The page of `aihub monitor`."""

from __future__ import annotations

from typing import Any

from services.cli.commands.monitor import bar, counts, page


def service(state: str, **more: Any) -> dict[str, Any]:
    addresses = {"api": "http://localhost:8000/api/x", "origin": "", "own": None}
    return {"state": state, "replicas": [], "reason": "because", "addresses": addresses, **more}


STATUS = {
    "services": {
        "asleep": service("stopped"),
        "b": service("paused", last_use=40.0),
        "a": service("ready", replicas=[{"memory": 3 << 20}, {"memory": 2 << 20}], active=4, held=0, last_use=90.0),
        "coming": service("starting", held=2),
    },
    "budget": {"memory": {"total": 8 << 30, "charged": 2 << 30}},
    "listen": "127.0.0.1:8000",
}


def test_what_is_awake_stands_first_and_what_sleeps_is_counted() -> None:
    lines = page(STATUS, (200, 40), 100.0, cut=False).splitlines()
    assert lines[0].startswith("http://localhost:8000")
    assert "2.0G of 8.0G" in lines[1]
    assert lines[2] == "ready 1  starting 1  paused 1  stopped 1"
    assert [line.split()[0] for line in lines[5:]] == ["a", "coming", "b"]
    assert lines[5].split() == ["a", "ready", "5.0M", "4", "-", "10", "s", "ago", "because"]
    assert lines[6].split()[4] == "2", "requests wait"


def test_the_page_is_cut_to_the_terminal() -> None:
    lines = page(STATUS, (30, 9), 100.0, cut=True).splitlines()
    assert len(lines) <= 9
    assert all(len(line) <= 60 for line in lines)
    assert lines[-1] == "(1 more: aihub status)"


def test_the_bar_is_never_longer_than_whole() -> None:
    assert bar(1, 2).count("#") == bar(1, 2).count(".")
    assert "." not in bar(9, 2)
    assert "#" not in bar(0, 0)
    assert counts({}) == {}
