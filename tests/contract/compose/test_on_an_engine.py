"""Compose and a real engine: what our calls make, and that an adopted project goes on working by plain compose."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.catalog.model import Stack
from services.compose.adopt import carry_out, plan_adopt, plan_eject
from services.compose.command import ComposeCli, ComposeError
from services.compose.lazy import Wish
from services.compose.override import override, text
from tests.contract.compose.conftest import IMAGE, Shop
from tests.support.ports import free_port

pytestmark = pytest.mark.docker


def _entry(**more: Any) -> dict[str, Any]:
    return {"image": IMAGE, "init": True, "stop_grace_period": "1s", **more}


def _cli(shop: Shop, override: bool = False) -> ComposeCli:
    stack = Stack(shop.project, (str(shop.file),), str(shop.folder))
    return ComposeCli(stack, shop.folder / "ours.yml" if override else None)


async def test_create_makes_stopped_containers_with_the_hash_it_tells(shop: Shop) -> None:
    shop.write(web=_entry(profiles=["on-demand"], depends_on=["db"]), db=_entry(), none=_entry(deploy={"replicas": 0}))
    cli = _cli(shop)
    await cli.create("web")
    await cli.create("none")
    found = shop.containers()
    assert {name: [one.state for one in ones] for name, ones in found.items()} == {
        "web": ["created"],
        "none": ["created"],
    }
    hashes = await cli.hashes()
    assert all(ones[0].hash == hashes[name] for name, ones in found.items())
    await cli.create("web")
    assert shop.containers() == found, "a second time changes nothing"
    await cli.create("web", replicas=2)
    assert len(shop.containers()["web"]) == 2


async def test_a_changed_service_is_made_anew_only_when_asked(shop: Shop) -> None:
    shop.write(web=_entry())
    cli = _cli(shop)
    await cli.create("web")
    before = shop.containers()["web"]
    shop.write(web=_entry(environment={"A": "b"}))
    await cli.create("web")
    assert shop.containers()["web"] == before
    await cli.create("web", recreate=True)
    after = shop.containers()["web"]
    assert after[0].id != before[0].id
    assert after[0].hash == (await cli.hashes())["web"]


async def test_services_created_at_once_share_one_network(shop: Shop) -> None:
    shop.write(**{f"s{number}": _entry() for number in range(4)})
    cli = _cli(shop)
    await asyncio.gather(*(cli.create(f"s{number}") for number in range(4)))
    assert len(shop.networks()) == 1
    assert len(shop.containers()) == 4


async def test_up_starts_what_is_not_lazy_and_leaves_what_is_there(shop: Shop) -> None:
    shop.write(web=_entry(profiles=["on-demand"]), front=_entry(depends_on={"web": _loose()}), db=_entry())
    cli = _cli(shop)
    await cli.up(["front", "db"])
    found = shop.containers()
    assert {name: ones[0].state for name, ones in found.items()} == {"front": "running", "db": "running"}
    shop.write(web=_entry(profiles=["on-demand"]), front=_entry(environment={"A": "b"}), db=_entry())
    await cli.up(["front", "db"])
    assert shop.containers() == found, "what runs is never made anew"
    await cli.create("web")
    await cli.down()
    assert (shop.containers(), shop.networks()) == ({}, [])


async def test_what_compose_refuses_is_said_in_its_own_words(shop: Shop) -> None:
    shop.write(web=_entry(depends_on=["nothing"]))
    with pytest.raises(ComposeError, match='service "web" depends on undefined service "nothing"'):
        await _cli(shop).config()


async def test_plain_compose_works_on_an_adopted_project(shop: Shop) -> None:
    """Adopted while it runs: what the command tells to do next ends the lazy ones and touches nothing else."""
    web = _entry(ports=[f"127.0.0.1:{free_port()}:80"], restart="always", depends_on=["db"])
    shop.write(
        web=web, db=_entry(image="postgres:stand-in", build=".", expose=[5432]), worker=_entry(depends_on=["web"])
    )
    (shop.folder / "Dockerfile").write_text(f"FROM {IMAGE}\n")
    shop.compose("up", "-d")
    running = shop.containers()
    carry_out(plan_adopt(shop.file, Wish.parse("web,db")))
    shop.compose("--profile", "on-demand", "up", "--no-start")
    shop.compose("up", "-d", "--remove-orphans")
    adopted = shop.containers()
    assert adopted["worker"] == running["worker"]
    assert adopted["web"][0].state == "created"
    assert not adopted["web"][0].published
    resolved = await _cli(shop).config()
    (shop.folder / "ours.yml").write_text(text(override(resolved, ["web", "db"]), "Ours."))
    assert (await _cli(shop, override=True).hashes())["web"] == adopted["web"][0].hash, "the hub would make the same"
    carry_out(plan_eject(shop.file))
    shop.compose("up", "-d")
    back = shop.containers()
    assert {name: (one[0].state, one[0].hash) for name, one in back.items()} == {
        name: (one[0].state, one[0].hash) for name, one in running.items()
    }
    assert back["web"][0].published


def _loose() -> dict[str, Any]:
    return {"condition": "service_started", "required": False}
