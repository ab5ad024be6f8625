"""Lets a call of compose outlast an engine that is being restarted.

Requests to the engine wait for it by themselves; compose gives up at once. What it does is an intent, so it can be said
again when the engine answers.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from services.compose.command import ComposeError
from services.scaler.drivers.docker.engine import Engine

log = logging.getLogger(__name__)

_LOST = ("Cannot connect to the Docker daemon", "error during connect", "unexpected EOF")
"""The docker client's own words where nothing answers it, or stops answering."""
_AGAIN = 2


async def outlasting(engine: Engine, compose: Callable[[], Awaitable[None]]) -> None:
    """Run it; again, where it lost the engine and the engine is back. Raises ComposeError, and EngineAway when the
    engine's patience is over."""
    for _ in range(_AGAIN):
        try:
            await compose()
            return
        except ComposeError as error:
            if not any(words in str(error) for words in _LOST):
                raise
            log.warning("%s: tried again as soon as the engine answers", error)
        await engine.get("version")
    await compose()
