"""The words in braces of a local command: `{port}`, `{port:NAME}`, `{data}`, `{models}`, `{public_url}`, `{url:OTHER}`,
`{python}` and `{hub}`.

Owns their grammar, both to fill them in and to check them before anything runs. It knows no service and no file
system. Only these very forms mean something: any other brace stays as it stands, so JSON and templates of other
programs pass through. A form that is meant literally is doubled: `{{port}}` gives `{port}`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

_T = TypeVar("_T")
MAIN = "main"
WORDS = ("port", "data", "models", "public_url", "url", "python", "hub")
_FORM = r"(port|data|models|public_url|python|hub|port:[A-Za-z0-9_.-]+|url:[A-Za-z0-9_.-]+)"
_ANY = re.compile(r"\{\{" + _FORM + r"\}\}|\{" + _FORM + r"\}")
_BARE = re.compile(r"(?<![{$])\{([A-Za-z_]+(?::[A-Za-z0-9_.-]*)?)\}(?!\})")


@dataclass(frozen=True, slots=True)
class Placeholders:
    """What one replica's placeholders stand for."""

    ports: Mapping[str, int]
    """Port name → the number this replica was given; `{port}` is `main`."""
    data: str
    models: str
    public_url: str
    """The origin of the service, for programs that have to know their own address."""
    urls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Service name → the address programs of this machine use for it."""
    python: str = sys.executable
    """The interpreter that runs the hub, for services of our own."""
    hub: str = str(Path(__file__).resolve().parents[2])
    """The folder that holds `services/`."""


@dataclass(frozen=True, slots=True)
class Form:
    """One placeholder as it stands in a text: `port:grpc` is word `port`, name `grpc`; `port` alone is `main`."""

    word: str
    name: str


def expand(text: str, values: Placeholders) -> str:
    """Fill in every placeholder. Raises LookupError naming the one that `values` cannot answer."""

    def fill(match: re.Match[str]) -> str:
        literal, form = match.groups()
        return "{" + literal + "}" if literal else _value(_parsed(form), values)

    return _ANY.sub(fill, text)


def forms(text: str) -> Iterator[Form]:
    """Every placeholder of a text in its order, for the check of a catalogue."""
    for match in _ANY.finditer(text):
        if form := match.group(2):
            yield _parsed(form)


def bare(text: str) -> Iterator[str]:
    """Single words in braces that are no placeholder; a check may ask whether one was meant."""
    for match in _BARE.finditer(text):
        if not _ANY.fullmatch(match.group()):
            yield match.group(1)


def _parsed(form: str) -> Form:
    word, _, name = form.partition(":")
    return Form(word, name or (MAIN if word == "port" else ""))


def _value(form: Form, values: Placeholders) -> str:
    match form.word:
        case "port":
            return str(_found(form, values.ports))
        case "url":
            return _found(form, values.urls)
        case "data":
            return values.data
        case "models":
            return values.models
        case "python":
            return values.python
        case "hub":
            return values.hub
        case _:
            return values.public_url


def _found(form: Form, table: Mapping[str, _T]) -> _T:
    try:
        return table[form.name]
    except KeyError:
        known = ", ".join(sorted(table)) or "none"
        raise LookupError(f"{{{form.word}:{form.name}}}: there is no {form.name!r} (known: {known})") from None
