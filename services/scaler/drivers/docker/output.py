"""What containers have written, as the engine sends it."""

from __future__ import annotations

LAST_LINES = 8
_LONGEST_LINE = 400
_OF_THE_ENGINE = 3
"""Kind of a frame in which the engine says what hinders it: nothing of the container's."""


def last_lines(raw: bytes) -> list[str]:
    """Of a log as the engine sends it: in frames, or plain where the container has a terminal."""
    text, rest = b"", raw
    while len(rest) >= 8 and rest[0] in (0, 1, 2, _OF_THE_ENGINE) and rest[1:4] == b"\0\0\0":
        length = int.from_bytes(rest[4:8], "big")
        text += b"" if rest[0] == _OF_THE_ENGINE else rest[8 : 8 + length]
        rest = rest[8 + length :]
    lines = (text + rest).decode(errors="replace").splitlines()
    return [line.rstrip()[:_LONGEST_LINE] for line in lines if line.strip()][-LAST_LINES:]
