"""What looking at a starting replica shares, wherever it runs: one look at its health path, and what was seen."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Seen:
    """What the looks met, for the message when they end in vain."""

    statuses: Counter[str] = field(default_factory=Counter)
    last: str = "nothing was looked at"

    def note(self, what: str) -> None:
        self.statuses[what] += 1
        self.last = what

    def __str__(self) -> str:
        count = self.statuses[self.last]
        return f"{self.last} ×{count}" if count > 1 else self.last


async def status(reader: StreamReader, writer: StreamWriter, path: str, host: str) -> int | None:
    """Ask once and hang up; None where what comes is no HTTP. Raises OSError, and ValueError where the first line is
    longer than the reader takes."""
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: aihub-health\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode("latin-1")
        )
        words = (await reader.readline()).split(None, 2)
    finally:
        writer.transport.abort()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return None
    return int(words[1])
