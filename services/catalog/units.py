"""Durations, sizes, cores and shares as compose writes them, and nothing looser: `1h5m30s20ms`, `2G`, `1.5`, `10%`.

Each parser takes what the file says and raises ValueError in words that say what would be right; each printer gives
text that its parser reads back to the same value.
"""

from __future__ import annotations

import re
from fractions import Fraction

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_SECONDS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
    "w": Fraction(604800),
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([bkmgtp]?)(i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_LONGEST = 40
_WANTED_DURATION = "a duration with units, such as 30s, 5m or 1h30m"
_WANTED_SIZE = "a size with a unit of 1024s, such as 512m or 2G"
MOST_BYTES = 2**60
MOST_CORES = 4096.0
LONGEST_DURATION = 10 * 365 * 86400.0


def seconds(value: object) -> float:
    """`1h5m30s20ms` → 3930.02. A bare number is refused: nobody can tell seconds from milliseconds."""
    if not isinstance(value, str):
        raise ValueError(_WANTED_DURATION)
    text = value.strip()
    negative = text.startswith("-")
    text = text.removeprefix("-").removeprefix("+")
    if text == "0":
        return 0.0
    end, total = 0, Fraction(0)
    if len(text) > _LONGEST:
        raise ValueError(_WANTED_DURATION)
    for match in _DURATION.finditer(text):
        if match.start() != end:
            break
        number, unit = match.groups()
        total += Fraction(number if number[-1] != "." else number + "0") * _SECONDS[unit]
        end = match.end()
    if not end or end != len(text):
        raise ValueError(_WANTED_DURATION)
    if total > LONGEST_DURATION:
        raise ValueError("a duration of at most ten years")
    return -float(total) if negative else float(total)


def duration_text(value: float) -> str:
    """Seconds → `1h5m30s`, in whole milliseconds."""
    rest = round(abs(value) * 1000)
    if not rest:
        return "0s"
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if value < 0 else "") + "".join(parts)


def size(value: object) -> int:
    """`2G`, `512m`, `1gb`, `1.5GiB`, or a number of bytes → bytes. Powers of 1024 whichever way they are written."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(_WANTED_SIZE)
    match = _SIZE.fullmatch(f"{value:.0f}" if isinstance(value, float) else str(value)[:_LONGEST].strip())
    if not match or (match[3] and match[2].lower() in ("", "b")):
        raise ValueError(_WANTED_SIZE)
    total = int(Fraction(match[1]) * 1024 ** _POWERS[match[2].lower()])
    if total > MOST_BYTES:
        raise ValueError("a size of at most 1024 P")
    return total


def size_text(value: int) -> str:
    """Bytes → the largest unit that divides them: `2G`, `1536M`, `1000`."""
    for unit, power in (("G", 3), ("M", 2), ("K", 1)):
        if value and value % 1024**power == 0:
            return f"{value // 1024**power}{unit}"
    return str(value)


def cores(value: object) -> float:
    """`'1.5'` or 1.5 → cores."""
    wanted = f"a number of cores above 0 and up to {MOST_CORES:.0f}, such as 0.5 or 2"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(wanted)
    try:
        number = float(value)
    except ValueError:
        raise ValueError(wanted) from None
    if not 0 < number <= MOST_CORES:
        raise ValueError(wanted)
    return number


def share(value: object) -> float:
    """`10%` or 0.1 of one core → 0.1."""
    wanted = "a share of one core from 0 to 100%, such as 10%"
    try:
        if isinstance(value, str):
            number = float(value.strip().removesuffix("%")) / (100 if value.strip().endswith("%") else 1)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
        else:
            raise ValueError
    except ValueError:
        raise ValueError(wanted) from None
    if not 0 <= number <= 1:
        raise ValueError(wanted)
    return number
