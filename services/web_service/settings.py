"""Settings by environment variables, checked once, every fault told. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

_T = TypeVar("_T")


class SettingFault(Exception):
    """All that is wrong, a line each: variable, value, what would be right."""


class Reading:
    """Of one environment. An empty variable is one that is not there."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: list[str] = []

    def of(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        """`parse` raises ValueError; then the default stands until `end`."""
        text = self._environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self._faults.append(f"{name}: {error}")
            return default

    def end(self) -> None:
        """Raises SettingFault."""
        if self._faults:
            raise SettingFault("\n".join(self._faults))


def base(text: str) -> str:
    """An address. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no address such as http://ollama:11434")
    return text.rstrip("/")


def seconds(text: str) -> float:
    """Raises ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 3600:
        raise ValueError(f"{text!r} is no number of seconds from 1 to 3600")
    return value


def number(least: int, most: int) -> Callable[[str], int]:
    """A whole one between these. What it returns raises ValueError."""

    def parse(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return parse
