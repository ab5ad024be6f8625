"""What containers have written, as the engine keeps it: frames of its two outputs, put together as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.scaler.drivers.docker.engine import Engine

_HEADER = 8


async def written(engine: Engine, container: str, tail: int, *, follow: bool) -> AsyncIterator[bytes]:
    """The last `tail` lines; with `follow` then whatever comes, until the container ends. Raises EngineRefused,
    EngineAway."""
    plain = bool((await engine.get(f"containers/{container}/json"))["Config"].get("Tty"))
    params = {"stdout": "1", "stderr": "1", "tail": str(tail), "follow": "1" if follow else "0"}
    async with engine.raw("GET", f"containers/{container}/logs", params) as answer:
        rest = b""
        async for piece in answer.content.iter_any():
            if plain:
                yield piece
                continue
            text, rest = unframed(rest + piece)
            if text:
                yield text


def unframed(raw: bytes) -> tuple[bytes, bytes]:
    """The text of all whole frames, and what is left of one that has not come yet as a whole."""
    text = bytearray()
    while len(raw) >= _HEADER:
        end = _HEADER + int.from_bytes(raw[4:_HEADER], "big")
        if len(raw) < end:
            break
        text += raw[_HEADER:end]
        raw = raw[end:]
    return bytes(text), raw
