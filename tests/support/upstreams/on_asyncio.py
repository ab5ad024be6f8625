"""A server written by hand on asyncio streams with a listen backlog of 5, as small programs have it.

Besides the common paths: `/echo-headers` answers what it was sent as JSON, `/spin?s=N` burns CPU for N seconds after
its answer, `/quit?code=N` ends the program, `/deafen` closes its listener and lives on.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import struct
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from identity import Identity, begin, digest_answer, options, sized, tick

BACKLOG = 5
FIRST_REQUEST = 60.0
"""Seconds a new connection may take to say what it wants."""
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GONE = (ConnectionError, asyncio.IncompleteReadError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def number(self, name: str, default: float) -> float:
        return float(parse_qs(urlsplit(self.target).query).get(name, [str(default)])[0])


class Server:
    def __init__(self, identity: Identity, keep_alive: float, think: float) -> None:
        self._identity = identity
        self._keep_alive = keep_alive
        self._think = think
        self.listener: asyncio.Server | None = None

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        patience = FIRST_REQUEST
        with suppress(*GONE):
            while request := await asyncio.wait_for(read_head(reader), patience):
                if not await self._answer(request, reader, writer) or request.headers.get("connection") == "close":
                    break
                patience = self._keep_alive
        writer.close()
        with suppress(*GONE):
            await writer.wait_closed()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Return whether the connection may carry another request."""
        if request.path == "/ws":
            await self._websocket(request, reader, writer)
            return False
        if request.path == "/sse":
            await drain_body(request, reader)
            await self._ticks(request, writer)
            return False
        if request.path == "/echo-sha":
            self._identity.post(request.headers.get("x-post-id"))
            think(self._think)
            await self._reply(writer, 200, await digest_of(request, reader), "application/json")
            return True
        await drain_body(request, reader)
        status, body = await self._plain(request)
        await self._reply(writer, status, body)
        return True

    async def _plain(self, request: Request) -> tuple[int, bytes]:
        match request.path.split("/")[1:]:
            case [""]:
                return 200, self._identity.hello
            case ["health"]:
                return 200, b"ok"
            case ["size", length]:
                return 200, sized(int(length))
            case ["slow"]:
                await asyncio.sleep(request.number("s", 1.0))
                return 200, b"slow"
            case ["spin"]:
                threading.Thread(target=spin, args=(request.number("s", 1.0),), daemon=True).start()
                return 200, b"spinning"
            case ["echo-headers"]:
                seen = {"method": request.method, "target": request.target, "headers": request.headers}
                return 200, json.dumps(seen).encode()
            case ["deafen"]:
                if self.listener is not None:
                    self.listener.close()
                return 200, b"deaf"
            case ["quit"]:
                os._exit(int(request.number("code", 3)))
        return 404, b"no such path"

    async def _reply(self, writer: asyncio.StreamWriter, status: int, body: bytes, kind: str = "text/plain") -> None:
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"X-Instance: {self._identity.header}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()

    async def _ticks(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\nX-Instance: " + self._identity.header.encode() + b"\r\n\r\n"
        )
        for number in range(int(request.number("n", 10))):
            data = tick(number)
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
            await asyncio.sleep(request.number("every", 0.1))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _websocket(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = request.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_KEY).digest()).decode()
        writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"X-Instance: {self._identity.header}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        while True:
            opcode, payload = await read_frame(reader)
            if opcode == 0x9:
                opcode = 0xA
            length = struct.pack("!B", len(payload)) if len(payload) < 126 else struct.pack("!BH", 126, len(payload))
            writer.write(bytes([0x80 | opcode]) + length + payload)
            await writer.drain()
            if opcode == 0x8:
                return


async def read_head(reader: asyncio.StreamReader) -> Request | None:
    """Return None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return None
    first, *rest = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    fields = (line.split(":", 1) for line in rest if ":" in line)
    return Request(method, target, {name.strip().lower(): value.strip() for name, value in fields})


async def body_of(request: Request, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    if "chunked" in request.headers.get("transfer-encoding", ""):
        while length := int((await reader.readline()).split(b";")[0], 16):
            yield await reader.readexactly(length)
            await reader.readexactly(2)
        await reader.readline()
        return
    missing = int(request.headers.get("content-length", "0"))
    while missing:
        data = await reader.read(min(missing, 65536))
        if not data:
            raise ConnectionResetError("the body ended early")
        missing -= len(data)
        yield data


async def drain_body(request: Request, reader: asyncio.StreamReader) -> None:
    async for _ in body_of(request, reader):
        pass


async def digest_of(request: Request, reader: asyncio.StreamReader) -> bytes:
    digest, length = hashlib.sha256(), 0
    async for data in body_of(request, reader):
        digest.update(data)
        length += len(data)
    return digest_answer(digest.hexdigest(), length)


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One unfragmented frame of a client, unmasked."""
    opcode, length = await reader.readexactly(2)
    length &= 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4)
    data = await reader.readexactly(length)
    return opcode & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def think(seconds: float) -> None:
    """Stop everything, as a program does that computes on its only thread."""
    time.sleep(seconds)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(2000))


def hold(megabytes: int) -> bytearray:
    """Memory that is really there, and never more than that on the way."""
    piece = os.urandom(1 << 20)
    held = bytearray(megabytes << 20)
    for start in range(0, len(held), len(piece)):
        held[start : start + len(piece)] = piece
    return held


async def main() -> None:
    chosen = options(__doc__ or "")
    identity = begin("asyncio", chosen)
    if chosen.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ballast = hold(chosen.ballast)
    server = Server(identity, chosen.keep_alive, chosen.think)
    server.listener = await asyncio.start_server(server.connection, chosen.host, chosen.port, backlog=BACKLOG)
    await asyncio.Event().wait()
    del ballast


if __name__ == "__main__":
    asyncio.run(main())
