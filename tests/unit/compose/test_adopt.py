"""Adopting writes an override beside a file, and ejecting puts back what was there, byte for byte."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.catalog.model import Publish
from services.compose.adopt import AdoptError, Plan, carry_out, plan_adopt, plan_eject
from services.compose.lazy import Wish
from services.compose.stacks import StackReader
from tests.unit.compose.conftest import Write

SHOP = """
    services:
      web: {image: x, container_name: shop, ports: ["${PORT:-8080}:80"], depends_on: [db], restart: always}
      db: {image: "postgres:16"}
      worker: {image: x, depends_on: {web: {condition: service_started}}}
"""
ENVIRON = {"HOME": "/home/somebody"}


def _adopt(file: Path, wish: str = "all") -> Plan:
    plan = plan_adopt(file, Wish.parse(wish), ENVIRON)
    carry_out(plan)
    return plan


def _beside(file: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in file.parent.iterdir()}


USERS = {
    "none": None,
    "ended": b"services:\n  web: {environment: {A: b}}  # mine\n",
    "unended": b"services:\r\n  web: {environment: {A: b}}",
    "anchors": b"x-a: &a {A: b}\nservices: {web: {environment: *a, ports: !override ['81:80']}}\n\n\n",
    "documents": b"---\nservices: {web: {user: me}}\n---\nservices: {db: {user: me}}\n...\n",
}


@pytest.mark.parametrize("users", USERS.values(), ids=USERS)
def test_eject_puts_everything_back_byte_for_byte(write: Write, users: bytes | None) -> None:
    file = write(SHOP)
    if users is not None:
        (file.parent / "compose.override.yml").write_bytes(users)
    before = _beside(file)
    assert _adopt(file).override.read_bytes().startswith(users or b"# >>> aihub adopt")
    again = plan_adopt(file, Wish(), ENVIRON)
    assert again.after == again.before
    _adopt(file, "web")
    carry_out(plan_eject(file))
    assert _beside(file) == before


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("compose.yml", "compose.override.yml"),
        ("compose.yaml", "compose.override.yaml"),
        ("docker-compose.yml", "docker-compose.override.yml"),
        ("mine.yml", "mine.override.yml"),
    ],
)
def test_the_override_has_the_name_that_goes_with_the_file(write: Write, name: str, beside: str) -> None:
    file = write(SHOP, f"shop/{name}")
    plan = _adopt(file)
    assert plan.override == file.with_name(beside)
    assert plan.is_merged_by_compose == (name != "mine.yml")
    assert StackReader(environ=ENVIRON).read([file]).services["web"].lazy, "the hub reads it too"


def test_the_hub_still_knows_what_the_override_takes_from_compose(write: Write) -> None:
    file = write(SHOP)
    _adopt(file, "web,db")
    write("PORT=9090\n", "shop/.env")
    web = StackReader(environ=ENVIRON).read([file]).services["web"]
    assert web.publishes == (Publish("main", "", 9090),)
    assert web.containers is not None
    assert web.containers.container_name == "shop"


def test_an_override_of_the_user_goes_on_to_be_heeded(write: Write) -> None:
    file = write(SHOP)
    write("services: {web: {environment: {A: b}, ports: !override ['81:80']}}\n", "shop/compose.override.yml")
    _adopt(file, "web")
    web = StackReader(environ=ENVIRON).read([file]).services["web"]
    assert web.environment == {"A": "b"}
    assert web.publishes == (Publish("main", "", 81),)


def test_a_copy_of_the_users_override_is_kept_until_it_is_ejected(write: Write) -> None:
    file = write(SHOP)
    override = write("services: {web: {user: me}}\n", "shop/compose.override.yml")
    override.chmod(0o600)
    plan = _adopt(file)
    assert plan.backup.read_bytes() == b"services: {web: {user: me}}\n"
    assert stat.S_IMODE(override.stat().st_mode) == 0o600
    carry_out(plan_eject(file))
    assert not plan.backup.exists()


def test_somebody_elses_file_of_that_name_is_not_replaced(write: Write) -> None:
    file = write(SHOP)
    write("services: {web: {user: me}}\n", "shop/compose.override.yml")
    other = write("other", "shop/compose.override.yml.before-adopt")
    with pytest.raises(AdoptError, match="is there already"):
        _adopt(file)
    assert other.read_text() == "other"


def test_edits_of_our_part_are_noticed_and_those_of_the_users_own_are_kept(write: Write) -> None:
    file = write(SHOP)
    override = write("services: {web: {user: me}}\n", "shop/compose.override.yml")
    _adopt(file)
    override.write_text(override.read_text().replace("user: me", "user: you"))
    plan = plan_eject(file)
    assert not plan.edited
    assert plan.after == b"services: {web: {user: you}}\n"
    override.write_text(override.read_text() + "  extra: {image: y}\n")
    plan = plan_eject(file)
    assert plan.edited
    assert "-  extra: {image: y}" in plan.diff()


def test_what_is_not_adopted_is_not_ejected(write: Write) -> None:
    file = write(SHOP)
    with pytest.raises(AdoptError, match=r"compose\.override\.yml beside it is not there"):
        plan_eject(file)
    write("services: {web: {user: me}}\n", "shop/compose.override.yml")
    with pytest.raises(AdoptError, match="has nothing of ours"):
        plan_eject(file)


def test_a_broken_mark_is_told_and_nothing_is_guessed(write: Write) -> None:
    file = write(SHOP)
    override = _adopt(file).override
    override.write_text(override.read_text().replace("sha256:", "sha:"))
    with pytest.raises(AdoptError, match="was changed"):
        plan_eject(file)


def test_a_file_with_nothing_to_make_lazy_is_refused_with_reasons(write: Write) -> None:
    file = write("services: {worker: {image: x}}")
    with pytest.raises(AdoptError, match=r"no service of it can be lazy\n(.|\n)*worker \(it has no port"):
        plan_adopt(file, Wish(), ENVIRON)
