"""Numbers and tables in people's words, and people's words back in numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.IGNORECASE)


def size(count: float | None) -> str:
    """`1.4G`; a dash where nothing is known."""
    if count is None:
        return "-"
    for unit in ("B", "K", "M", "G"):
        if count < 1000:
            return f"{count:.0f}{unit}" if count >= 10 or unit == "B" else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.1f}T"


def count(number: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def bytes_of(text: str) -> int:
    """`8G`, `512 MiB`, `1073741824`. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no size; write it as 512M or 8G")
    return int(float(found[1]) * _SIZES[found[2].lower()])


def span(seconds: float | None) -> str:
    """`40 ms`, `7 s`, `12 min`; a dash where nothing is known."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} d"


def seconds_of(text: str) -> float:
    """`8h`, `1h30m`, `90` (seconds). Raises ValueError."""
    plain = text.strip()
    if plain.replace(".", "", 1).isdigit():
        return float(plain)
    parts = _SPAN.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise ValueError(f"{text!r} is no span of time; write it as 8h, 30m or 1h30m")
    return float(sum(float(number) * _SPANS[unit.lower()] for number, unit in parts))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Columns as wide as they need, two spaces apart; lines cut to `width`."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, *rows]:
        line = "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip()
        lines.append(line if width is None or len(line) <= width else f"{line[: width - 1]}…")
    return "\n".join(lines)
