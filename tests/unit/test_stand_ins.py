"""The images for machines without a registry: which stands for what, in which order they are made, when again."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support.images import stand_ins
from tests.support.images.build import digests, wanted
from tests.support.images.recipes import HUB, PREFIX, PYTHON, recipes

KNOWN = recipes()
TAGS = {recipe.tag for recipe in KNOWN.values()}


def test_the_override_is_what_the_catalogue_asks_for_now() -> None:
    assert stand_ins.OVERRIDE.read_text() == stand_ins.text(), f"out of date: run `{stand_ins.COMMAND}`"


def test_every_image_of_the_override_can_be_built() -> None:
    named = {service["image"] for service in stand_ins.document()["services"].values()}
    assert named <= TAGS


def test_an_override_changes_the_image_and_only_a_placeholder_gets_more() -> None:
    for name, service in stand_ins.document()["services"].items():
        extra = {"environment", "healthcheck", "entrypoint"} if service["image"] == stand_ins.PLACEHOLDER else set()
        assert set(service) <= {"image", *extra}, name


@pytest.mark.parametrize(
    ("service", "image", "stands"),
    [
        ("redis", "redis:8.2.0", f"{PREFIX}redis"),
        ("a-queue", "redis:7", f"{PREFIX}redis"),
        ("vectors", "qdrant/qdrant:v1.19.0", stand_ins.PLACEHOLDER),
        ("scaler", "aihub/hub:0.1.0", HUB),
        ("chains", "aihub/langchain:0.1.0", f"{PREFIX}langchain"),
        ("no-tag", "nginx", f"{PREFIX}nginx"),
    ],
)
def test_an_image_is_found_by_its_repository(service: str, image: str, stands: str) -> None:
    assert stand_ins.image_for(service, image) == stands


def test_parents_come_first() -> None:
    order = [recipe.name for recipe in wanted(["placeholder", "chroma"], KNOWN)]
    assert order == ["python", "web", "placeholder", "uv", "chroma"]


def test_a_changed_parent_makes_its_children_anew_and_nothing_else() -> None:
    order = wanted(KNOWN, KNOWN)
    before = digests(order)
    changed = [
        dataclasses.replace(one, files={**one.files, "web.py": b"another"}) if one.name == "web" else one
        for one in order
    ]
    after = digests(changed)
    assert {tag for tag in before if before[tag] != after[tag]} == {f"{PREFIX}web", f"{PREFIX}placeholder"}


def test_the_name_of_a_base_that_somebody_pulled_is_asked_for_unchanged() -> None:
    assert "ARG PYTHON=python:3.11-slim" in KNOWN["hub"].files["Dockerfile"].decode()
    assert KNOWN["hub"].parents == (PYTHON,)
