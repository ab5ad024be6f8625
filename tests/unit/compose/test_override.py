"""What an override says: all that laziness needs, and nothing that the files say already."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from services.catalog.tree import Reset
from services.compose.override import override, text


def _of(entry: dict[str, Any], *others: tuple[str, dict[str, Any]], lazy: tuple[str, ...] = ("a",)) -> Any:
    return override({"services": {"a": entry, **dict(others)}}, lazy).get("services", {})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, {"profiles": ["on-demand"]}),
        ({"profiles": ["on-demand"]}, None),
        ({"profiles": ["dev"]}, {"profiles": ["on-demand"]}),
        ({"profiles": ["on-demand"], "restart": "always"}, {"restart": "no"}),
        ({"profiles": ["on-demand"], "restart": "no"}, None),
        ({"profiles": ["on-demand"], "container_name": "x"}, {"container_name": Reset()}),
        ({"profiles": ["on-demand"], "ports": ["80:80"]}, {"ports": Reset()}),
        ({"profiles": ["on-demand"], "ports": [{"target": 80, "protocol": "tcp"}]}, {"ports": Reset()}),
        ({"profiles": ["on-demand"], "ports": []}, None),
        ({"profiles": ["on-demand"], "deploy": {"replicas": 0}}, {"deploy": {"replicas": 1}}),
        ({"profiles": ["on-demand"], "deploy": {"replicas": 3}}, None),
        ({"profiles": ["on-demand"], "scale": 0}, {"scale": 1}),
        (
            {"profiles": ["on-demand"], "deploy": {"restart_policy": {"condition": "any"}}},
            {"deploy": {"restart_policy": Reset()}},
        ),
    ],
)
def test_a_lazy_service_gets_what_it_lacks(entry: dict[str, Any], said: Any) -> None:
    assert _of(entry).get("a") == said


def test_ports_that_no_gateway_carries_stay_published() -> None:
    said = _of({"profiles": ["on-demand"], "ports": ["80:80", "53:53/udp", {"target": 5, "protocol": "udp"}]})["a"]
    assert said["ports"].value == ["53:53/udp", {"target": 5, "protocol": "udp"}]


def test_who_depends_on_a_lazy_one_no_longer_requires_it_and_keeps_its_condition() -> None:
    said = _of(
        {"profiles": ["on-demand"]},
        ("short", {"depends_on": ["a", "z"]}),
        ("long", {"depends_on": {"a": {"condition": "service_healthy", "restart": True, "required": True}}}),
        ("said", {"depends_on": {"a": {"condition": "service_started", "required": False}}}),
        ("link", {"links": ["a"]}),
        ("z", {}),
    )
    assert said == {
        "short": {"depends_on": {"a": {"condition": "service_started", "required": False}}},
        "long": {"depends_on": {"a": {"condition": "service_healthy", "required": False}}},
        "link": {"depends_on": {"a": {"condition": "service_started", "required": False}}},
    }


def test_a_lazy_one_requires_another_unless_a_profile_of_its_own_can_start_it_alone() -> None:
    both = ("a", "b")
    assert "depends_on" not in _of({"depends_on": ["b"]}, ("b", {}), lazy=both)["a"]
    assert "depends_on" in _of({"depends_on": ["b"], "profiles": ["dev"]}, ("b", {}), lazy=both)["a"]


def test_nothing_to_say_is_nothing() -> None:
    assert override({"services": {"a": {"profiles": ["on-demand"]}, "b": {}}}, ["a"]) == {}


def test_its_text_is_the_same_each_time_and_names_compose_tags() -> None:
    document = override({"services": {"a": {"ports": ["1:1"], "container_name": "n", "restart": "always"}}}, ["a"])
    said = text(document, "Made by us.\n\nFor a.")
    assert said == text(document, "Made by us.\n\nFor a.")
    assert said == (
        "# Made by us.\n#\n# For a.\nservices:\n  a:\n    profiles:\n      - on-demand\n    restart: 'no'\n"
        "    container_name: !reset []\n    ports: !reset []\n"
    )
    assert yaml.compose(said) is not None
