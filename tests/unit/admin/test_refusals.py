"""What a command says that is not carried out: the truth, and what would help."""

from __future__ import annotations

from services.catalog.model import Containers
from services.scaler.admin import refusals
from services.scaler.core.events import Flow, PinSet, Traffic
from tests.unit.core.scene import Scene, entry

COMPOSES = entry("db", lazy=False, containers=Containers("shop", "postgres"))


def refused(scene: Scene, name: str) -> str:
    found = refusals.of_sleep(scene.fleet.world, scene.service(name))
    assert found is not None
    return f"{found.code}: {found.reason}; {found.remedy}"


def test_what_is_always_on_is_not_said_to_rest_at_some_time() -> None:
    scene = Scene(entry("kept", scaling={"min_replicas": 1}), entry("local", lazy=False), COMPOSES)
    scene.succeed()
    for name, helps in (
        ("kept", "min_replicas: 1"),
        ("local", "profiles: [on-demand]"),
        ("db", "docker compose stop postgres"),
    ):
        told = refused(scene, name)
        assert told.startswith("always-on: ")
        assert "it is always on" in told
        assert "rests when that is over" not in told
        assert helps in told


def test_what_is_in_use_rests_when_that_is_over_and_a_pin_ends_by_a_command() -> None:
    scene = Scene(entry("web"))
    scene.up("web")
    assert refusals.of_sleep(scene.fleet.world, scene.service("web")) is None
    scene.on(Traffic({"web": Flow(1, 1)}))
    assert refused(scene, "web") == "in-use: 1 requests in flight; it rests when that is over"
    scene.on(PinSet("web", None))
    scene.succeed()
    assert "aihub unpin web" in refused(scene, "web")


def test_what_compose_runs_is_not_said_to_be_restarted_unless_it_is_down() -> None:
    scene = Scene(COMPOSES, entry("kept", scaling={"min_replicas": 1}))
    assert scene.service("db").replicas == {}
    assert refusals.of_restart(scene.fleet.world, scene.service("db")) is None
    scene.succeed()
    found = refusals.of_restart(scene.fleet.world, scene.service("db"))
    assert found is not None
    assert "docker compose restart postgres" in found.remedy
    assert refusals.of_restart(scene.fleet.world, scene.service("kept")) is None
