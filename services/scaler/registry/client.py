"""Consul's HTTP API on the event loop: py-consul's calls over a transport of our own, and its faults told apart.

py-consul brings paths, parameters and the kinds of fault. Its own transport for asyncio (`consul.aio`, 1.8) makes its
session with arguments that aiohttp has deprecated, reads certificates even for plain HTTP, and has one limit of time
for all calls, where a query that waits for news needs another than the rest. Its client prefers `$CONSUL_HTTP_TOKEN` to
the token it is given, and sends transactions without any.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import aiohttp
from consul.base import Consul as Calls
from consul.base import HTTPClient, Response
from consul.callback import CB
from consul.exceptions import ACLDisabled, ACLPermissionDenied, ConsulException

from services.scaler.registry.desired import ConsulAt

T = TypeVar("T")

_LIMIT = 5.0
"""Seconds for a call that waits for nothing."""
WAIT = 60
"""Seconds for which a query waits for news at the most; Consul adds up to a sixteenth."""
_OPERATIONS = 64
"""In one transaction; older Consuls take no more."""

_STRANGE = (KeyError, TypeError, ValueError, AttributeError)
"""What reading an answer of another shape raises, in py-consul too."""


class Away(Exception):
    """Consul does not answer, or something else does; the message says what was seen."""


class Denied(Exception):
    """Consul lets the hub's token not do what it has to; the message says what Consul said."""


class Client(Calls):  # type: ignore[misc]  # py-consul has no types
    """To be made on a running loop, and closed. Calls are py-consul's own, each an awaitable."""

    def __init__(self, at: ConsulAt) -> None:
        """Raises ValueError for a URL that is none."""
        scheme, host, port = at.parts()
        super().__init__(host, port, scheme=scheme, verify=True)
        # Not by the constructor, which lets the environment say otherwise.
        self.token = at.token or None

    def http_connect(self, host: str, port: int, scheme: str, verify: bool | str = True, cert: object = None) -> Any:
        return _Transport(host, port, scheme)

    async def close(self) -> None:
        await self.http.close()

    async def transact(self, operations: Sequence[Mapping[str, object]]) -> None:
        """Keys written and erased, in few calls. Raises Away or Denied."""
        for start in range(0, len(operations), _OPERATIONS):
            body = json.dumps([{"KV": one} for one in operations[start : start + _OPERATIONS]])
            await asked(self.http.put(CB.json(), "/v1/txn", data=body, headers=self.prepare_headers()))


def written(key: str, value: str) -> dict[str, object]:
    """One operation of a transaction."""
    return {"Verb": "set", "Key": key, "Value": base64.b64encode(value.encode()).decode()}


def erased(key: str) -> dict[str, object]:
    return {"Verb": "delete", "Key": key}


async def asked(call: Awaitable[Any]) -> Any:
    """What a call gives. Raises Away or Denied."""
    try:
        return await call
    except (ACLPermissionDenied, ACLDisabled) as error:
        raise Denied(str(error)) from error
    except TimeoutError as error:
        raise Away(f"no answer within {_LIMIT:g} s") from error
    except (aiohttp.ClientError, OSError, ConsulException) as error:
        raise Away(str(error) or type(error).__name__) from error
    except _STRANGE as error:
        raise Away(_none_of_consuls(error)) from error


def understood(read: Callable[[], T]) -> T:
    """What `read` makes of an answer. Raises Away where it is none of Consul's."""
    try:
        return read()
    except _STRANGE as error:
        raise Away(_none_of_consuls(error)) from error


def _none_of_consuls(error: Exception) -> str:
    return f"an answer that is none of Consul's, {type(error).__name__}: {error}"


class _Transport(HTTPClient):  # type: ignore[misc]
    def __init__(self, host: str, port: int, scheme: str) -> None:
        super().__init__(host, port, scheme)
        secure = ssl.create_default_context() if scheme == "https" else True
        # Queries that wait must not take the places of those that do not.
        connector = aiohttp.TCPConnector(ssl=secure, limit=0)
        self._session = aiohttp.ClientSession(connector=connector)

    def get(
        self,
        callback: Callable[[Response], Any],
        path: str,
        params: Sequence[tuple[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bool = False,
    ) -> Awaitable[Any]:
        waits = any(key == "wait" for key, _ in params or ())
        return self._ask("GET", callback, path, params, headers, waits=waits)

    def put(
        self,
        callback: Callable[[Response], Any],
        path: str,
        params: Sequence[tuple[str, Any]] | None = None,
        data: str | bytes = "",
        headers: Mapping[str, str] | None = None,
    ) -> Awaitable[Any]:
        return self._ask("PUT", callback, path, params, headers, data)

    def delete(
        self,
        callback: Callable[[Response], Any],
        path: str,
        params: Sequence[tuple[str, Any]] | None = None,
        data: str | bytes = "",
        headers: Mapping[str, str] | None = None,
    ) -> Awaitable[Any]:
        return self._ask("DELETE", callback, path, params, headers, data)

    def post(
        self,
        callback: Callable[[Response], Any],
        path: str,
        params: Sequence[tuple[str, Any]] | None = None,
        data: str | bytes = "",
        headers: Mapping[str, str] | None = None,
    ) -> Awaitable[Any]:
        return self._ask("POST", callback, path, params, headers, data)

    def close(self) -> Awaitable[None]:
        return self._session.close()

    async def _ask(
        self,
        method: str,
        callback: Callable[[Response], Any],
        path: str,
        params: Sequence[tuple[str, Any]] | None,
        headers: Mapping[str, str] | None,
        data: str | bytes | None = None,
        waits: bool = False,
    ) -> Any:
        uri = cast(str, self.uri(path, params))
        timeout = aiohttp.ClientTimeout(total=_LIMIT + WAIT * 17 / 16 if waits else _LIMIT, sock_connect=_LIMIT)
        between = (_only_once,) if waits else ()
        async with self._session.request(
            method, uri, headers=headers, data=data, timeout=timeout, middlewares=between
        ) as answer:
            text = await answer.text(encoding="utf-8")
            return callback(Response(answer.status, answer.headers, text))


async def _only_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp asks again by itself where a connection breaks off. A new Consul would then let a query wait for an index
    that only the old one had."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Away(str(error) or type(error).__name__) from error
