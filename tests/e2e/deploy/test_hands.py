"""What people do to a deploy: break it off, start a second one, take it down while it comes up, ask what cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.checkout import OVERRIDE, Checkout

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]

INFRA = ("--env", "dev", "--phase", "infra")
SERVICES = {"consul", "docker-proxy", "kong", "rabbitmq", "redis", "scaler"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_deploy_that_was_broken_off_goes_on_with_the_next(
    checkout: Checkout, number: signal.Signals, code: int
) -> None:
    with under_way(checkout, *INFRA, "--project-name", checkout.project) as process:
        if number is signal.SIGINT:
            os.killpg(process.pid, number)  # as the terminal does
        else:
            process.send_signal(number)
        said, _ = process.communicate()
    assert process.returncode == code, said
    assert "Traceback" not in said
    if number is signal.SIGINT:
        assert "interrupted: what has come up stays" in said
    checkout.up(*INFRA)
    assert names(checkout) == {f"{checkout.project}-{service}-1" for service in SERVICES}


def test_two_deploys_at_once_take_turns_and_a_down_waits_for_them(checkout: Checkout) -> None:
    project = ("--project-name", checkout.project)
    with under_way(checkout, *INFRA, *project) as first:
        second, down = checkout.begin(*INFRA, *project), None
        try:
            assert second.stdout is not None
            for line in second.stdout:
                if line.startswith("another deploy from here is under way"):
                    break
            else:
                pytest.fail("the second did not wait")
            assert f"(pid {first.pid})" in line
            first_said, _ = first.communicate()
            assert first.returncode == 0, first_said
            down = checkout.deploy("--down", *project)
            second_said, _ = second.communicate()
        finally:
            if second.poll() is None:
                second.kill()
        assert second.returncode == 0, second_said
    assert down is not None
    assert down.returncode == 0, down.stdout
    assert "another deploy from here is under way" in down.stdout
    assert checkout.containers() == []
    assert checkout.networks() == []
    assert checkout.of_hub() == []


def test_what_this_machine_cannot_do_is_told_before_anything_starts(checkout: Checkout, tmp_path: Path) -> None:
    greedy = checkout.root / "greedy.yml"
    greedy.write_text("services: {consul: {deploy: {resources: {reservations: {memory: 900G}, limits: !reset null}}}}")
    words = ["--override", str(checkout.root / OVERRIDE.name), "--override", str(greedy)]
    told = refused(checkout, *words)
    assert "WRONG memory" in told
    assert "Bring up fewer phases here" in told

    old = tmp_path / "docker" / "cli-plugins" / "docker-compose"
    old.parent.mkdir(parents=True)
    metadata = '{"SchemaVersion": "0.1.0", "Vendor": "somebody", "Version": "v2.23.3"}'
    old.write_text(f"#!/bin/sh\n[ \"$1\" = docker-cli-plugin-metadata ] && echo '{metadata}' || echo 2.23.3\n")
    old.chmod(0o755)
    told = refused(checkout, DOCKER_CONFIG=str(tmp_path / "docker"))
    assert "WRONG compose: version 2.23.3 is too old" in told
    assert "Install version 2.24 or newer" in told

    assert "WRONG data folder" in refused(checkout, "--data", f"{checkout.data}:other")

    checkout.data.write_text("no folder")
    told = refused(checkout)
    assert f"WRONG data folder: {checkout.data} is no folder" in told
    assert "--data DIR" in told
    assert not (checkout.root / ".env").exists()
    assert checkout.containers() == []


def refused(checkout: Checkout, *words: str, **environment: str) -> str:
    done = checkout.deploy(*INFRA, "--project-name", checkout.project, *words, **environment)
    assert done.returncode == 1, done.stdout
    assert "nothing was started" in done.stdout
    return done.stdout


@contextmanager
def under_way(checkout: Checkout, *words: str) -> Iterator[subprocess.Popen[str]]:
    """One that has begun to start containers."""
    process = checkout.begin(*words)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Container" in line and "Start" in line:
                break
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def names(checkout: Checkout) -> set[str]:
    return set(checkout.containers())
