"""The schema for editors says what the models say, and the file in the repository is what the code makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from services.catalog import generate
from services.catalog.extension import model_of
from services.catalog.schema import XHub, json_schema

ROOT = Path(__file__).resolve().parents[3]


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if inner := model_of(field.annotation):
            yield from models(inner)


def test_generated_files_are_up_to_date() -> None:
    assert generate.stale() == []


def test_every_field_is_described_in_the_schema() -> None:
    definitions = json_schema()["definitions"]
    for model in models(XHub):
        name = "x-hub" if model is XHub else model.__name__
        properties = definitions[name]["properties"]
        assert set(properties) == set(model.model_fields)
        assert all(properties[field].get("description", "").endswith((".", ". ")) for field in properties), name
        assert definitions[name]["additionalProperties"] is False


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    text = json.dumps(json_schema())
    names = set(re.findall(r'"#/definitions/([^"]+)"', text))
    assert names == set(json_schema()["definitions"])


def test_the_catalogue_keeps_to_the_schema() -> None:
    """By hand for what editors complain of most: unknown keys and values outside an enumeration."""
    schema = json_schema()

    def check(value: Any, node: dict[str, Any], path: str) -> None:
        node = node["allOf"][0] if "allOf" in node else node
        node = schema["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if isinstance(value, dict) and "properties" in node:
            for key, inner in value.items():
                assert key in node["properties"], f"{path}.{key}"
                check(inner, node["properties"][key], f"{path}.{key}")
        if "enum" in node:
            assert value in node["enum"], path
        if "pattern" in node:
            assert re.search(node["pattern"], value), path

    for file in (ROOT / "docker-compose.distributed-ai.yml", *(ROOT / "catalog").glob("*.yml")):
        for name, service in (yaml.safe_load(file.read_text()).get("services") or {}).items():
            if "x-hub" in service:
                check(service["x-hub"], {"$ref": "#/definitions/x-hub"}, name)


def test_the_catalogue_tells_editors_of_its_schema() -> None:
    for file in (ROOT / "catalog").glob("*.yml"):
        assert file.read_text().startswith("# yaml-language-server: $schema=./compose.schema.json\n"), file.name
