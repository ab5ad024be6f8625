"""Programs that misbehave: the caller gets a clear answer in time, and nothing of them is left."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.support.catalogue import Workshop
from tests.support.hub import Hub
from tests.support.hub_fixtures import StartHub
from tests.support.process_tree import mentioning

pytestmark = [pytest.mark.envoy, pytest.mark.process]

START_TIMEOUT = 2.0


def reason(hub: Hub, service: str) -> tuple[int, str]:
    begun = time.monotonic()
    status, headers, body = hub.ask(f"/api/{service}/")
    assert time.monotonic() - begun < START_TIMEOUT + 8
    assert headers["content-type"].startswith("application/json"), body
    return status, json.dumps(json.loads(body)).lower()


@pytest.mark.parametrize(
    ("habit", "words"),
    [
        ("never-ready", ["listen"]),
        ("dies", ["cannot find my configuration"]),
        ("wrong-port", ["listen"]),
        ("unhealthy", ["500"]),
        ("all-addresses", ["0.0.0.0"]),
    ],
)
def test_a_program_that_cannot_be_served_gets_a_clear_answer_and_is_ended(
    workshop: Workshop, start_hub: StartHub, tmp_path: Path, habit: str, words: list[str]
) -> None:
    hub = start_hub(
        {"bad": workshop.faulty("bad", habit, start_timeout=START_TIMEOUT), "good": workshop.upstream("good")}
    )
    status, text = reason(hub, "bad")
    assert status in (502, 503)
    for word in words:
        assert word in text
    assert hub.ask("/api/good/")[2] == b"hello from asyncio\n"
    assert mentioning(str(tmp_path / "bad.events")) == set()
    explained = hub.cli("explain", "bad")
    assert explained.returncode == 0
    assert any(word in explained.stdout.lower() for word in words)


def test_a_failing_service_is_left_alone_for_a_while_and_a_command_tries_at_once(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"bad": workshop.faulty("bad", "dies", start_timeout=START_TIMEOUT)})
    reason(hub, "bad")
    first = workshop.starts("bad")
    for _ in range(20):
        status, headers, _ = hub.ask("/api/bad/")
        assert status in (502, 503)
    assert int(headers["retry-after"]) >= 1
    assert workshop.starts("bad") - first <= 2
    before = workshop.starts("bad")
    assert hub.cli("wake", "bad").returncode != 0
    assert workshop.starts("bad") > before


def test_a_service_that_fails_once_serves_when_it_is_asked_again(workshop: Workshop, start_hub: StartHub) -> None:
    hub = start_hub({"bad": workshop.faulty("bad", "flaky", start_timeout=START_TIMEOUT)})
    end = time.monotonic() + 20
    while (answer := hub.ask("/api/bad/"))[0] != 200:
        assert time.monotonic() < end, answer
        time.sleep(0.2)
    assert workshop.starts("bad") == 2


async def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(
    workshop: Workshop, start_hub: StartHub, tmp_path: Path
) -> None:
    hub = start_hub({"bad": workshop.faulty("bad", "ignores-term", compose={"stop_grace_period": "1s"})})
    assert hub.ask("/api/bad/")[0] == 200
    assert hub.cli("sleep", "bad", "--to", "stopped").returncode == 0
    await hub.until("bad", "stopped", limit=10)
    assert mentioning(str(tmp_path / "bad.events")) == set()


async def test_grandchildren_in_sessions_of_their_own_end_with_the_service(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"bad": workshop.faulty("bad", "orphans")})
    assert hub.ask("/api/bad/")[0] == 200
    before = hub.left()
    assert hub.cli("sleep", "bad", "--to", "stopped").returncode == 0
    await hub.until("bad", "stopped", limit=15)
    ended = {pid for pid in before if not os.path.exists(f"/proc/{pid}")}
    assert len(ended) >= 2


def test_a_program_that_forks_away_is_served_or_clearly_refused_and_never_leaks(
    workshop: Workshop, start_hub: StartHub, tmp_path: Path
) -> None:
    hub = start_hub({"bad": workshop.faulty("bad", "forks-away", start_timeout=START_TIMEOUT)})
    status, _, body = hub.ask("/api/bad/")
    if status != 200:
        assert status in (502, 503)
        assert json.loads(body)
        assert mentioning(str(tmp_path / "bad.events")) == set()


def test_a_program_that_floods_its_log_is_served_and_its_log_stays_small(
    workshop: Workshop, start_hub: StartHub
) -> None:
    hub = start_hub({"bad": workshop.faulty("bad", "fills-log")})
    assert hub.ask("/api/bad/")[0] == 200
    end = time.monotonic() + 10
    most = 0
    while time.monotonic() < end:
        written = (file for file in hub.layout.logs.rglob("*") if file.is_file())
        most = max(most, sum(file.stat().st_size for file in written))
        assert hub.ask("/api/bad/")[0] == 200
        time.sleep(0.1)
    # It has written more than 100 MiB by then.
    assert most < 70 << 20, f"{most >> 20} MiB of log"
