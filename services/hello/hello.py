"""The hub's own small service: it says hello, and is up 20 ms after it was asked for.

A program in one file that imports nothing but sockets and threads, to be run as `python -I -S hello.py --port N`:
`http.server` or asyncio would double or treble its start. It speaks HTTP/1.1 with kept connections, bodies by length
or in chunks, and no more. It keeps no data and knows nothing of the hub.

    GET  /        a line of JSON; a page where a browser asks
    GET  /health  200 while it runs
    POST /echo    the body, as it came
"""

import os
import socket
import sys
import threading
import time

_MAX_HEAD = 64 * 1024
_MAX_BODY = 16 * 1024 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large"}
_STARTED = time.monotonic()

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hello</title><style>
:root{color-scheme:light dark}body{font:18px/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;
place-items:center}main{max-width:34rem;padding:2rem}h1{font-size:3rem;margin:0 0 .5rem}small{opacity:.65}
</style></head><body><main><h1>Hello.</h1><p>A moment ago this program may not have been running: your request
started it, waited for it and was answered by it. Left alone it goes back to sleep.</p>
<small id="facts">process %d, up for %.1f s</small></main></body></html>
"""


class Refused(Exception):
    """A request that is answered with an error and the end of the connection."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Connection:
    """One client's connection: reads requests off it and answers them in turn until one side has had enough."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._in = sock.makefile("rb")

    def serve(self) -> None:
        try:
            while self._one():
                pass
        except Refused as error:
            self._answer(error.status, "application/json", f'{{"error": "{error}"}}\n'.encode(), keep=False)
            self._linger()
        except OSError:
            pass  # the client has left
        finally:
            self._in.close()
            self._sock.close()

    def _linger(self) -> None:
        """Read off what the client still sends: closing over it would take the answer back by a reset."""
        self._sock.shutdown(socket.SHUT_WR)
        self._sock.settimeout(1.0)
        left = 1 << 20
        while left > 0 and (read := self._sock.recv(65536)):
            left -= len(read)

    def _one(self) -> bool:
        """Answer one request; False when the connection is done with."""
        line = self._in.readline(_MAX_HEAD)
        if not line.strip():
            return bool(line)
        words = line.decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise Refused(400, "not an HTTP/1 request")
        headers = self._headers()
        if headers.get("expect", "").lower() == "100-continue":
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._body(headers)
        asked = headers.get("connection", "").lower()
        keep = asked == "keep-alive" if words[2] == "HTTP/1.0" else asked != "close"
        status, kind, content = answer(words[0], words[1].partition("?")[0], headers, body)
        self._answer(status, kind, content, keep=keep, head=words[0] == "HEAD")
        return keep

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        size = 0
        while line := self._in.readline(_MAX_HEAD).decode("latin-1").strip():
            size += len(line)
            if size > _MAX_HEAD:
                raise Refused(400, "headers too large")
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        length = _number(headers.get("content-length", "0"), 10)
        return self._in.read(length)

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        total = 0
        while size := _number(self._in.readline(_MAX_HEAD).partition(b";")[0].decode("latin-1"), 16):
            total = _number(str(total + size), 10)
            parts.append(self._in.read(size))
            self._in.readline(_MAX_HEAD)
        while self._in.readline(_MAX_HEAD).strip():
            pass  # trailers
        return b"".join(parts)

    def _answer(self, status: int, kind: str, body: bytes, *, keep: bool, head: bool = False) -> None:
        lines = (
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            f"Connection: {'keep-alive' if keep else 'close'}",
        )
        self._sock.sendall("\r\n".join((*lines, "", "")).encode() + (b"" if head else body))


def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
    """Status, media type and body for one request."""
    match method, path:
        case (("GET" | "HEAD"), "/"):
            up = time.monotonic() - _STARTED
            if "text/html" in headers.get("accept", ""):
                return 200, "text/html; charset=utf-8", (_PAGE % (os.getpid(), up)).encode()
            text = f'{{"hello": "world", "pid": {os.getpid()}, "up_seconds": {up:.3f}}}\n'
            return 200, "application/json", text.encode()
        case (("GET" | "HEAD"), "/health"):
            return 200, "application/json", b'{"status": "ok"}\n'
        case "POST", "/echo":
            return 200, headers.get("content-type", "application/octet-stream"), body
        case _, ("/" | "/health" | "/echo"):
            return 405, "application/json", b'{"error": "not with this method"}\n'
    return 404, "application/json", b'{"error": "there is nothing here; try / or /health"}\n'


def _number(text: str, base: int) -> int:
    try:
        value = int(text.strip(), base)
    except ValueError:
        raise Refused(400, "a length that is no number") from None
    if not 0 <= value <= _MAX_BODY:
        raise Refused(413, f"a body of more than {_MAX_BODY} bytes")
    return value


def main(arguments: list[str]) -> int:
    """`[--host 127.0.0.1] --port N`; serves until it is ended."""
    given = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if not given.get("--port", "").isdigit():
        print("usage: hello.py [--host 127.0.0.1] --port N", file=sys.stderr)
        return 2
    address = (given.get("--host", "127.0.0.1"), int(given["--port"]))
    with socket.create_server(address, backlog=256) as listener:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Connection(sock).serve, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
