"""Carries the client's calls over aiohttp: connections, time limits, server-sent events, what may be asked again."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from services.api_adapter.client import calls
from services.api_adapter.client.calls import DONE, Answer, Call
from services.api_adapter.client.connections import Connections
from services.api_adapter.client.errors import BadReply, Closed, ConnectionLost, NotReached, TimedOut

T = TypeVar("T")

HELD = 300.0
"""Seconds that the hub holds a request while its service wakes, unless the service or `wait` says otherwise."""


class Transport:
    """To one hub, over connections that are opened at the first call and kept."""

    def __init__(
        self,
        base: str,
        key: str | None,
        *,
        timeout: float | None,
        connect_timeout: float,
        wait: float | None,
        retries: int,
        ca_file: str | None,
    ) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"base has to be an address such as http://localhost:8000, not {base!r}")
        for name, number, least in (
            ("timeout", timeout, 0),
            ("connect_timeout", connect_timeout, 0),
            ("wait", wait, 0),
        ):
            if number is not None and not number > least:
                raise ValueError(f"{name} has to be a number of seconds above {least}, not {number!r}")
        if retries < 0:
            raise ValueError(f"retries has to be 0 or more, not {retries!r}")
        self._base = base.rstrip("/")
        self._key = key
        self._retries = retries
        headers = {"Accept": "application/json, text/event-stream"}
        headers |= {"apikey": key} if key else {}
        headers |= {"X-Hub-Wait": f"{wait:g}"} if wait is not None else {}
        silence = timeout if timeout is not None else (wait or HELD) + 60.0
        limits = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, sock_read=silence)
        tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._connections = Connections(limits, headers, tls)

    def __str__(self) -> str:
        return repr(self._base) + ("" if self._key is None else ", key='…'")

    async def close(self) -> None:
        await self._connections.close()

    async def ask(self, call: Call[T]) -> T:
        """Asked again only where the hub says that the service has not seen it."""
        left = self._retries
        while True:
            async with self._sent(call) as reply:
                answer = await reply.whole()
            pause = calls.may_repeat(answer) if left else None
            if pause is None:
                return calls.value(call, answer)
            left -= 1
            await asyncio.sleep(pause)

    async def stream(self, call: Call[str | None]) -> AsyncGenerator[str, None]:
        async with self._sent(call) as reply:
            if reply.status != 200:
                raise calls.refusal(await reply.whole())
            async with aclosing(reply.events()) as events:
                async for data in events:
                    if data == DONE:
                        return
                    if piece := calls.event(call, data):
                        yield piece
        raise ConnectionLost(f"{call.method} {call.path}: the stream has ended before its end")

    @asynccontextmanager
    async def _sent(self, call: Call[Any]) -> AsyncGenerator[_Reply, None]:
        session = await self._connections.session()
        body = None if call.json is None else json.dumps(call.json, allow_nan=False).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        request = session.request(call.method, self._base + call.path, data=body, headers=headers)
        told = _Told(call, session)
        with told:
            response = await request
        async with response:
            yield _Reply(response, told)


class _Told:
    """What aiohttp raises, in the client's words."""

    def __init__(self, call: Call[Any], session: aiohttp.ClientSession) -> None:
        self._what = f"{call.method} {call.path}"
        self._session = session

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        ended = isinstance(error, Exception | asyncio.CancelledError)
        if ended and self._session.closed and not _is_cancelled():
            # In which aiohttp has a plain RuntimeError for some, and cancels who waits for a connection.
            raise Closed(f"{self._what}: the client was closed meanwhile") from error
        match error:
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
                raise NotReached(f"the hub is not reached: {error} (is it running? `aihub status`)") from error
            case TimeoutError():
                raise TimedOut(f"{self._what}: no sign of life in time") from error
            case LineTooLong():
                raise BadReply(f"{self._what}: a line of its stream has no end") from error
            case aiohttp.ClientError() | OSError():
                raise ConnectionLost(f"{self._what}: {error or type(error).__name__}") from error


class _Reply:
    """Of which the head has come."""

    def __init__(self, response: aiohttp.ClientResponse, told: _Told) -> None:
        self._response = response
        self._told = told

    @property
    def status(self) -> int:
        return self._response.status

    async def whole(self) -> Answer:
        with self._told:
            body = await self._response.read()
        return Answer(self.status, _lower(self._response.headers), body)

    async def events(self) -> AsyncGenerator[str, None]:
        """The data of each server-sent event."""
        lines: list[str] = []
        while True:
            with self._told:
                line = await self._response.content.readline()
            text = line.decode(errors="replace").rstrip("\r\n")
            if text.startswith("data:"):
                lines.append(text[5:].removeprefix(" "))
            elif not text and lines:
                yield "\n".join(lines)
                lines = []
            if not line:
                return


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}
