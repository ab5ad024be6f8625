"""What a deploy is told, and what it takes from the last one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.deploy.plan import Env, Phase
from services.deploy.said import BadWords, deployment, read


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--env", "prod", "--tls-cert", "a"], "--tls-cert and --tls-key go together"),
        (["--env", "dev", "--tls-cert", "a", "--tls-key", "b"], "--tls-cert is for --env prod"),
        (["--env", "prod", "--domain", "bad_domain/x"], "--domain bad_domain/x: no DNS name such as"),
        (["--env", "dev", "--project-name", "My Hub"], "--project-name My Hub: small letters"),
        (["--env", "moon"], "invalid choice"),
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_words_that_mean_nothing_are_told_with_their_value(words: list[str], told: str) -> None:
    with pytest.raises(BadWords, match=told):
        read(["up", *words])


def test_what_is_not_said_is_as_it_was() -> None:
    root = Path("/co")
    files = [f"{root}/docker-compose.distributed-ai.yml", f"{root}/docker-compose.prod.yml", f"{root}/mine.yml"]
    before = {
        "HUB_ENV": "prod",
        "HUB_DATA": "/d",
        "HUB_DOMAIN": "hub.test",
        "COMPOSE_PROJECT_NAME": "mine",
        "COMPOSE_FILE": os.pathsep.join(files),
        "HUB_TLS_CERT": "/etc/a.crt",
        "HUB_TLS_KEY_FILE": "/etc/a.key",
    }
    found = deployment(root, read(["up"]), before, {})
    assert (found.env, found.layout.data, found.domain, found.project) == (Env.PROD, Path("/d"), "hub.test", "mine")
    assert found.overrides == (root / "mine.yml",)
    assert found.tls == (Path("/etc/a.crt"), Path("/etc/a.key"))
    assert deployment(root, read(["up"]), {**before, "HUB_TLS_CERT": "/d/tls/hub.test.crt"}, {}).tls is None


def test_what_is_said_goes_before_what_was() -> None:
    before = {
        "HUB_ENV": "prod",
        "HUB_DATA": "/d",
        "HUB_DOMAIN": "hub.test",
        "HUB_TLS_CERT": "/a",
        "HUB_TLS_KEY_FILE": "/b",
    }
    words = [
        "down",
        "--env",
        "dev",
        "--data",
        "/e",
        "--domain",
        "Other.Test",
        "--override",
        "/co/x.yml",
        "--phase",
        "ai",
    ]
    said = read(words)
    found = deployment(Path("/co"), said, before, {"AIHUB_DATA": "/f", "AIHUB_COMPOSE_OVERRIDE": "/co/y.yml"})
    assert (found.env, found.layout.data, found.domain) == (Env.DEV, Path("/e"), "other.test")
    assert found.overrides == (Path("/co/x.yml"),)
    assert found.tls is None, "that certificate was for another name"
    assert (said.act, said.phase) == ("down", Phase.AI)


def test_an_override_that_has_gone_hinders_only_what_needs_it(tmp_path: Path) -> None:
    there, gone = tmp_path / "there.yml", tmp_path / "gone.yml"
    there.touch()
    before = {"HUB_ENV": "dev", "COMPOSE_FILE": os.pathsep.join(map(str, (there, gone)))}
    for act, meant in (("down", (there,)), ("status", (there,)), ("up", (there, gone)), ("check", (there, gone))):
        assert deployment(tmp_path, read([act]), before, {}).overrides == meant
