"""Clients that check every byte of every answer and say in one word how a request ended.

They never retry: what a hub does to a request has to be seen. Each method returns an Outcome and raises nothing that
belongs to the wire.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp

from tests.support.upstreams.identity import PATTERN

CHUNK = 65536


class Verdict(StrEnum):
    SERVED = "served"
    """Whole and right."""
    REFUSED = "refused"
    """The hub's own 4xx or 5xx with a reason."""
    BAD_GATEWAY = "bad gateway"
    """A 502, 503 or 504 without the hub's reason."""
    WRONG = "wrong"
    """Some other status, or an answer that looks whole and is not what was asked for."""
    CUT = "cut"
    """The connection broke within the answer; the client can tell."""
    CLOSED = "closed"
    """The connection ended before any answer."""
    LATE = "late"
    """Nothing within the client's patience."""


@dataclass(frozen=True, slots=True)
class Outcome:
    what: str
    verdict: Verdict
    elapsed: float
    status: int = 0
    detail: str = ""
    instance: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.SERVED

    def __str__(self) -> str:
        return f"{self.what}: {self.verdict} {self.status} after {self.elapsed:.3f} s {self.detail}"


class Mismatch(Exception):
    def __init__(self, verdict: Verdict, detail: str) -> None:
        super().__init__(detail)
        self.verdict = verdict


@dataclass(slots=True)
class _Seen:
    status: int = 0
    instance: str = ""
    begun: bool = False

    def take(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.instance = response.headers.get("X-Instance", "")
        self.begun = True


@dataclass(slots=True)
class Tally:
    """Outcomes counted; what was not served is kept whole, up to a bound."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> Outcome:
        self.counts[outcome.verdict] += 1
        if not outcome.ok and len(self.faults) < 50:
            self.faults.append(str(outcome))
        return outcome

    @property
    def total(self) -> int:
        return self.counts.total()

    def demand_all_served(self) -> None:
        assert self.counts.total() == self.counts[Verdict.SERVED], "\n".join([str(dict(self.counts)), *self.faults])


class Client:
    """One caller of a hub. `patience` in seconds bounds each request as a whole."""

    def __init__(self, session: aiohttp.ClientSession, base: str, patience: float = 60.0) -> None:
        self._session = session
        self._base = base
        self._patience = patience

    def url(self, service: str, path: str) -> str:
        return f"{self._base}/api/{service}{path}"

    async def get(self, service: str, kind: str | None = None) -> Outcome:
        """GET / and, where `kind` is given, hold the text to that upstream's."""
        return await self._request(f"GET {service}", self.url(service, "/"), _expect_hello(kind))

    async def sized(self, service: str, length: int) -> Outcome:
        wanted = hashlib.sha256((PATTERN * (length // 16 + 1))[:length]).hexdigest()

        async def check(response: aiohttp.ClientResponse) -> None:
            if hashlib.sha256(await response.read()).hexdigest() != wanted:
                raise Mismatch(Verdict.WRONG, "other bytes than asked for")

        return await self._request(f"GET {length} bytes {service}", self.url(service, f"/size/{length}"), check)

    async def slow(self, service: str, seconds: float) -> Outcome:
        return await self._request(f"GET slow {service}", self.url(service, f"/slow?s={seconds}"), _expect_text("slow"))

    async def post(
        self,
        service: str,
        length: int,
        *,
        identifier: str | None = None,
        pace: float = 0.0,
        chunked: bool = False,
        body: bytes | None = None,
    ) -> Outcome:
        """POST `body`, else random bytes, and compare the digest. `pace`: seconds between pieces of 64 KiB."""
        body = body or os.urandom(length)
        wanted = hashlib.sha256(body).hexdigest()
        headers = {"X-Post-Id": identifier} if identifier else {}
        data: io.BytesIO | AsyncIterator[bytes] = io.BytesIO(body)
        if pace or chunked:
            data = _pieces(body, pace)
            if not chunked:
                headers["Content-Length"] = str(length)

        async def check(response: aiohttp.ClientResponse) -> None:
            answer = json.loads(await response.text())
            if answer != {"sha256": wanted, "length": length}:
                raise Mismatch(Verdict.WRONG, f"sent {wanted} of {length}, echoed {answer}")

        url = self.url(service, "/echo-sha")
        return await self._request(f"POST {length} {service}", url, check, method="POST", data=data, headers=headers)

    async def stream(self, service: str, count: int, every: float) -> Outcome:
        """Read an event stream to its end; every number must come once and in order."""

        async def check(response: aiohttp.ClientResponse) -> None:
            text = (await response.read()).decode()
            if text != "".join(f"id: {n}\ndata: {n}\n\n" for n in range(count)):
                raise Mismatch(Verdict.WRONG, f"{text.count('id:')} of {count} ticks")

        return await self._request(f"SSE {service}", self.url(service, f"/sse?n={count}&every={every}"), check)

    async def socket(self, service: str, count: int, every: float, *, silent: float = 0.0) -> Outcome:
        """Send `count` numbered messages over a websocket and see each come back in order; first be silent a while."""

        async def talk(seen: _Seen) -> None:
            async with self._session.ws_connect(self.url(service, "/ws")) as socket:
                seen.begun, seen.status = True, 101
                await asyncio.sleep(silent)
                for number in range(count):
                    text = f"{number} " + "x" * (number * 97 % 2000)
                    await socket.send_str(text)
                    message = await socket.receive()
                    if message.type is not aiohttp.WSMsgType.TEXT or message.data != text:
                        raise Mismatch(
                            Verdict.CUT, f"message {number} came back as {message.type} {message.data!r:.80}"
                        )
                    await asyncio.sleep(every)

        return await self._judge(f"websocket {service}", talk)

    async def raw(self, method: str, url: str, **options: object) -> tuple[int, aiohttp.typedefs.LooseHeaders, bytes]:
        """One request without judgement: status, headers, body. Raises aiohttp's errors."""
        limit = aiohttp.ClientTimeout(total=self._patience)
        async with self._session.request(method, url, timeout=limit, allow_redirects=False, **options) as response:  # type: ignore[arg-type]
            return response.status, response.headers, await response.read()

    async def _request(
        self,
        what: str,
        url: str,
        check: Callable[[aiohttp.ClientResponse], Awaitable[None]],
        *,
        method: str = "GET",
        data: io.BytesIO | AsyncIterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Outcome:
        async def talk(seen: _Seen) -> None:
            async with self._session.request(method, url, data=data, headers=headers) as response:
                seen.take(response)
                if response.status != 200:
                    raise await _refusal(response)
                await check(response)

        return await self._judge(what, talk)

    async def _judge(self, what: str, talk: Callable[[_Seen], Awaitable[None]]) -> Outcome:
        begun, seen = time.monotonic(), _Seen()
        verdict, detail = Verdict.SERVED, ""
        try:
            async with asyncio.timeout(self._patience):
                await talk(seen)
        except Mismatch as mismatch:
            verdict, detail = mismatch.verdict, str(mismatch)
        except TimeoutError:
            verdict = Verdict.CUT if seen.begun else Verdict.LATE
        except aiohttp.WSServerHandshakeError as error:
            seen.status = error.status
            verdict, detail = _unexplained(error.status), "at the handshake"
        except (aiohttp.ClientError, OSError) as error:
            verdict, detail = Verdict.CUT if seen.begun else Verdict.CLOSED, repr(error)
        return Outcome(what, verdict, time.monotonic() - begun, seen.status, detail, seen.instance)


@asynccontextmanager
async def client(base: str, *, patience: float = 60.0, keep: bool = False) -> AsyncIterator[Client]:
    """A caller with connections of its own: kept between requests or a new one for each."""
    connector = aiohttp.TCPConnector(limit=0, force_close=not keep)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        yield Client(session, base, patience)


async def together(calls: Iterable[Awaitable[Outcome]], tally: Tally | None = None) -> Tally:
    """Run all at once and count how they ended."""
    tally = tally or Tally()
    for outcome in await asyncio.gather(*calls):
        tally.add(outcome)
    return tally


def _expect_hello(kind: str | None) -> Callable[[aiohttp.ClientResponse], Awaitable[None]]:
    if kind is None:
        return _expect_anything
    return _expect_text(f"hello from {kind}\n")


async def _expect_anything(response: aiohttp.ClientResponse) -> None:
    await response.read()


def _expect_text(wanted: str) -> Callable[[aiohttp.ClientResponse], Awaitable[None]]:
    async def check(response: aiohttp.ClientResponse) -> None:
        text = await response.text()
        if text != wanted:
            raise Mismatch(Verdict.WRONG, f"{text!r:.80} instead of {wanted!r}")

    return check


async def _pieces(body: bytes, pace: float) -> AsyncIterator[bytes]:
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]
        await asyncio.sleep(pace)


def _unexplained(status: int) -> Verdict:
    return Verdict.BAD_GATEWAY if status in (502, 503, 504) else Verdict.WRONG


async def _refusal(response: aiohttp.ClientResponse) -> Mismatch:
    text = await response.text()
    # The hub refuses in JSON and says why; Envoy's own complaint is a line of text.
    explained = response.content_type.endswith("json") and response.status in (502, 503, 504)
    return Mismatch(Verdict.REFUSED if explained else _unexplained(response.status), f"{text!r:.200}")
