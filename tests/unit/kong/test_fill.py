"""The deploy step: what becomes of markers, what is refused, and that a file is never half there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.catalog.kong.__main__ import main
from services.catalog.kong.fill import Environment, FillError, filled
from services.catalog.kong.markers import markers
from services.catalog.kong.reader import read
from services.catalog.kong.render import render
from services.catalog.kong.text import rendered
from tests.unit.kong.scene import CATALOG, DOMAIN, KEY, VARIABLES

RENDERED = rendered(render(CATALOG))
PROD, DEV = Environment.PROD, Environment.DEV


def faults(text: str = RENDERED, environment: Environment = PROD, **variables: str) -> str:
    with pytest.raises(FillError) as caught:
        filled(text, environment, {**VARIABLES, **variables})
    return str(caught.value)


def test_no_marker_is_left_and_the_key_is_where_it_belongs() -> None:
    text = filled(RENDERED, PROD, VARIABLES)
    assert markers(text) == []
    assert [(c.name, c.keys) for c in read(text).consumers] == [("owner", (KEY,))]
    assert text.count(KEY) == 1


def test_each_further_key_makes_a_consumer() -> None:
    text = filled(RENDERED, PROD, {**VARIABLES, "HUB_GATEWAY_ALICE_LAPTOP_KEY": "k" * 20, "HUB_TOKEN_KEY": "t" * 20})
    assert {c.name: c.keys for c in read(text).consumers} == {"owner": (KEY,), "alice-laptop": ("k" * 20,)}


def test_in_dev_no_variable_is_needed_and_no_key_gets_into_the_file() -> None:
    text = filled(RENDERED, DEV, {"HUB_GATEWAY_KEY": KEY})
    assert KEY not in text
    found = read(text)
    assert found.consumers == ()
    hosts = {host for service in found.services for route in service.routes for host in route.hosts}
    assert {"localhost", "127.0.0.1", "chroma.localhost"} <= hosts
    assert not [host for host in hosts if "$" in host]


@pytest.mark.parametrize("missing", ["HUB_DOMAIN", "HUB_GATEWAY_KEY"])
def test_in_prod_a_missing_variable_is_told_by_name_with_what_to_do(missing: str) -> None:
    for value in ("", None):
        variables = {**VARIABLES, missing: value or ""}
        if value is None:
            del variables[missing]
        with pytest.raises(FillError) as caught:
            filled(RENDERED, PROD, variables)
        assert f"{missing} is missing" in str(caught.value)
        assert ".env" in str(caught.value)


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(FillError) as caught:
        filled(RENDERED, PROD, {"HUB_ENVOY_HOST": "not a host", "HUB_GATEWAY_BOB_KEY": "short"})
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize(
    "value",
    ["${HUB_GATEWAY_KEY}", "{vault://env/key}", "has a blank in it 0123", "tooshort", 'quote"' + "x" * 20 + "\n"],
)
def test_a_key_that_kong_would_misread_is_refused_and_not_shown(value: str) -> None:
    told = faults(HUB_GATEWAY_KEY=value)
    assert told.startswith("HUB_GATEWAY_KEY: a key of")
    assert value not in told


def test_one_key_cannot_be_two_callers() -> None:
    assert "HUB_GATEWAY_BOB_KEY: a key of its own, not that of HUB_GATEWAY_KEY" in faults(HUB_GATEWAY_BOB_KEY=KEY)


def test_nobody_else_can_be_the_owner() -> None:
    assert "the owner's key is HUB_GATEWAY_KEY" in faults(HUB_GATEWAY_OWNER_KEY="o" * 20)


@pytest.mark.parametrize(
    "key", ["1e5" * 6, "0" * 16, "0x" + "1" * 16, "12:30:00:12:30:00", "~~~~~~~~~~~~~~~~", "'\"\\" * 6]
)
def test_a_key_stays_the_text_it_is(key: str) -> None:
    assert read(filled(RENDERED, PROD, {**VARIABLES, "HUB_GATEWAY_KEY": key})).consumers[0].keys == (key,)


@pytest.mark.parametrize(
    "domain", ["https://hub.example.org", "hub.example.org:8443", "hub example", "-x.org", "a" * 200]
)
def test_a_domain_that_is_none_is_refused(domain: str) -> None:
    assert "HUB_DOMAIN: a host name such as hub.example.org" in faults(HUB_DOMAIN=domain)


def test_the_dots_of_the_domain_are_dots_where_pages_may_come_from() -> None:
    text = filled(RENDERED, PROD, VARIABLES)
    cors = next(plugin for plugin in read(text).plugins if plugin.name == "cors")
    assert cors.config["origins"] == [
        r"^https?://([a-z0-9-]+\.)*localhost(:[0-9]+)?$",
        r"^https?://([a-z0-9-]+\.)*hub\.example\.org(:[0-9]+)?$",
    ]


def test_a_bare_address_as_domain_has_paths_and_no_names_below_it() -> None:
    found = read(filled(RENDERED, PROD, {**VARIABLES, "HUB_DOMAIN": "192.0.2.7"}))
    hosts = {host for service in found.services for route in service.routes for host in route.hosts}
    assert "192.0.2.7" in hosts
    assert not [host for host in hosts if host.endswith(".192.0.2.7")]


def test_envoy_may_have_another_name() -> None:
    found = read(filled(RENDERED, DEV, {"HUB_ENVOY_HOST": "edge-1"}))
    assert {service.url for service in found.services} == {"http://edge-1:8000", "grpc://edge-1:8000"}


def test_a_marker_that_nobody_knows_is_refused() -> None:
    assert "marker ${OTHER}" in faults(RENDERED.replace("${HUB_DOMAIN}", "${OTHER}", 1))
    assert "scripts/generate" in faults("services: 5")


def test_a_rendered_file_that_lost_a_law_does_not_get_out() -> None:
    assert "breaks a law" in faults(RENDERED.replace("preserve_host: true", "preserve_host: false", 1))
    assert "would be refused" in faults(RENDERED.replace("retries: 0", 'retries: "0"', 1))


def command(folder: Path, *words: str, **environ: str) -> int:
    (folder / "rendered.yml").write_text(RENDERED)
    given = ["--rendered", str(folder / "rendered.yml"), "--env-file", str(folder / ".env")]
    return main([*given, "--output", str(folder / "out" / "kong.yml"), *words], environ)


def test_the_command_writes_a_file_for_its_owner_alone_and_again_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text(f"HUB_DOMAIN={DOMAIN}\nHUB_GATEWAY_KEY='{KEY}'\n")
    assert command(tmp_path, "--env", "prod") == 0
    output = tmp_path / "out" / "kong.yml"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert stat.S_IMODE(output.parent.stat().st_mode) == 0o700
    before = output.stat()
    output.chmod(0o644)
    assert command(tmp_path, "--env", "prod") == 0
    assert (output.stat().st_ino, output.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert capsys.readouterr().out == f"wrote {output}\nunchanged: {output}\n"


def test_the_commands_own_variables_go_before_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"HUB_DOMAIN=old.example.org\nHUB_GATEWAY_KEY={KEY}\n")
    assert command(tmp_path, "--env", "prod", HUB_DOMAIN=DOMAIN) == 0
    text = (tmp_path / "out" / "kong.yml").read_text()
    assert DOMAIN in text
    assert "old.example.org" not in text


def test_a_failed_command_leaves_the_old_file_and_tells_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out" / "kong.yml"
    assert command(tmp_path, "--env", "dev") == 0
    old = output.read_text()
    assert command(tmp_path, "--env", "prod", HUB_DOMAIN=DOMAIN) == 1
    assert "error: HUB_GATEWAY_KEY is missing" in capsys.readouterr().err
    assert output.read_text() == old
    assert [file.name for file in output.parent.iterdir()] == ["kong.yml"]
    (tmp_path / ".env").write_text("what is this?\n")
    assert command(tmp_path, "--env", "dev") == 1
    assert ".env:1: lines have the form NAME=value" in capsys.readouterr().err
