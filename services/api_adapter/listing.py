"""Asks every service that speaks OpenAI's API for its models, and wakes none.

The hub tells monitors apart by their User-Agent: what one of those asks of a sleeping service is answered by the hub,
from the last good reply where the service has `wake.answer`, and never counts as use. So this asks as a monitor.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import aiohttp

from services.api_adapter.translate.models import READY, UNREACHABLE, Listed, Speaker, read
from services.web_service.answers import STATE_HEADER, said

AGENT = "aihub-models/1"
"""Among the monitors that the hub knows."""
_LARGEST = 4 << 20
_PATIENCE = aiohttp.ClientTimeout(total=5.0)
"""Nothing is waited for: whoever is awake answers at once."""


class Models:
    def __init__(self, speakers: Sequence[Speaker]) -> None:
        self.session: aiohttp.ClientSession | None = None
        """There before the first question."""
        self._speakers = tuple(speakers)

    async def ask(self) -> list[Listed]:
        """All at once, in the order of the setting. Raises nothing: a service that fails says so in its place."""
        return await asyncio.gather(*(self._one(speaker) for speaker in self._speakers))

    async def _one(self, speaker: Speaker) -> Listed:
        assert self.session is not None
        try:
            async with self.session.get(
                f"{speaker.base}/models", headers={"User-Agent": AGENT}, timeout=_PATIENCE, allow_redirects=False
            ) as answer:
                state = answer.headers.get(STATE_HEADER, READY)
                body = await answer.content.read(_LARGEST)
                while more := await answer.content.read(_LARGEST):
                    body += more
                    if len(body) > _LARGEST:
                        return Listed(speaker, state, None, f"its reply is larger than {_LARGEST} bytes")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Listed(speaker, UNREACHABLE, None, said(error))
        if state != READY and not body:
            return Listed(speaker, state)
        if answer.status != 200:
            return Listed(speaker, state, None, f"status {answer.status}")
        try:
            return Listed(speaker, state, read(json.loads(body)))
        except ValueError as error:
            return Listed(speaker, state, None, said(error))
