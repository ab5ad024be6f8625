"""`.env` and `env_file` files → variables, with compose's quoting rules.

Unquoted values end at a ` #` and are trimmed; single quotes keep all but the quote; double quotes know `\\n` and its
kin; unquoted and double-quoted values may name variables. Values may span lines inside quotes. The format `raw` takes
`KEY=VALUE` lines literally, as `docker run --env-file` does.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping

from services.catalog.interpolate import LONGEST, InterpolationFault, substitute

_KEY = re.compile(r"(?:export[ \t]+)?([A-Za-z0-9_.\-\[\]]+)[ \t]*(=|:|(?=\r?\n|\Z|#))")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPE = re.compile(r"\\([nrtabfv$\"\\])")


class DotenvFault(ValueError):
    def __init__(self, line: int, expected: str) -> None:
        self.line = line
        """From 1."""
        super().__init__(expected)


def parse(text: str, outer: Mapping[str, str]) -> dict[str, str | None]:
    """Variables in their order; None for a name alone, which stands for the outer variable of that name.

    Variables in values are looked up in `outer` first, then among those read so far. Raises DotenvFault.
    """
    found: dict[str, str | None] = {}
    so_far: dict[str, str] = {}
    length = 0
    known = ChainMap(dict(outer), so_far)
    text = text.replace("\r\n", "\n")
    at = 0
    while (at := _next(text, at)) < len(text):
        match = _KEY.match(text, at)
        if match is None:
            raise DotenvFault(_line(text, at), "lines have the form NAME=value")
        if not match.group(2):
            found[match.group(1)] = None
            at = _line_end(text, match.end())
            continue
        try:
            value, at = _value(text, match.end(), known)
            found[match.group(1)] = so_far[match.group(1)] = value
            length += len(value)
            if length > LONGEST:
                raise InterpolationFault(f"values that come to at most {LONGEST} signs together")
        except InterpolationFault as fault:
            raise DotenvFault(_line(text, at), str(fault)) from None
    return found


def parse_raw(text: str) -> dict[str, str | None]:
    """`KEY=VALUE` lines with no quoting and no variables. Raises DotenvFault."""
    found: dict[str, str | None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.lstrip().partition("=")
        if not key or any(sign.isspace() for sign in key):
            raise DotenvFault(number, "lines have the form NAME=value")
        found[key] = value if equals else None
    return found


def _next(text: str, at: int) -> int:
    """Past blanks, empty lines and comments."""
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] == "#":
            at = _line_end(text, at)
        else:
            return at
    return at


def _value(text: str, at: int, known: Mapping[str, str]) -> tuple[str, int]:
    while at < len(text) and text[at] in " \t":
        at += 1
    quote = text[at : at + 1]
    if quote in ("'", '"') and quote:
        end = _quote_end(text, at, quote)
        inside = text[at + 1 : end]
        if quote == "'":
            return inside.replace("\\'", "'"), _line_end(text, end)
        return _unescaped(substitute(inside.replace("\\$", "$$"), known)), _line_end(text, end)
    end = _line_end(text, at)
    plain = text[at:end]
    comment = re.search(r"\s#", plain)
    return substitute((plain[: comment.start()] if comment else plain).strip(), known), end


def _quote_end(text: str, at: int, quote: str) -> int:
    end = at + 1
    while end < len(text):
        if text[end] == "\\":
            end += 2
            continue
        if text[end] == quote:
            return end
        end += 1
    raise DotenvFault(_line(text, at), f"a closing {quote}")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
