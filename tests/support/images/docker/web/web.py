"""A small web server of many habits, chosen by environment and by path; starts in a few milliseconds.

Environment: PORTS (8080; several by comma), BIND (0.0.0.0), START_DELAY (seconds before it listens), HEALTH (/health),
HEALTH_DELAY (seconds for which it listens and answers 503 there), BALLAST_MB (memory that cannot be compressed),
IGNORE_SIGTERM (1), STOP_DELAY (seconds that a SIGTERM takes), DIE_AFTER (seconds), DATA (/data).

Paths: /headers /environment /count /metrics /echo (POST: length and sha256; ?back=1 returns the body) /big?bytes=
/stream?seconds=&every= /sse?seconds=&every= /delay?seconds= /burn?seconds= /grow?mb= /touch /exit?code=
/peer?url=&timeout= (fetches it, tells status, seconds, sha256 and the first bytes) /relay?url= (passes it on as it
comes) /data/NAME (GET, PUT, DELETE: a file in DATA); any path with a websocket upgrade echoes; /status?code=; every
other path tells who answered. `web.py --probe` tells by its exit code whether the first port listens.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time

BORN = time.time()
PORTS = [int(port) for port in os.environ.get("PORTS", "8080").split(",")]
HEALTH = os.environ.get("HEALTH", "/health")
DATA = os.environ.get("DATA", "/data")
LINE = 65536
ballast = []
served = 0


def number(name, otherwise="0"):
    return float(os.environ.get(name) or otherwise)


def grow(megabytes):
    ballast.append(b"".join(os.urandom(1 << 20) for _ in range(int(megabytes))))


class Request:
    def __init__(self, stream, connection):
        self.stream, self.connection = stream, connection

    def read_head(self):
        line = self.stream.readline(LINE)
        if not line.strip():
            return False
        self.method, self.target, self.version = line.decode("latin-1").split()
        self.path, _, query = self.target.partition("?")
        self.query = {}
        for pair in query.split("&"):
            key, _, value = pair.partition("=")
            self.query[key] = value
        self.headers = {}
        while line := self.stream.readline(LINE).strip():
            key, _, value = line.decode("latin-1").partition(":")
            self.headers[key.lower()] = value.strip()
        if self.headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def body(self):
        """The body in pieces, whichever way it is framed."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self.stream.readline(LINE).split(b";")[0], 16):
                yield self.stream.read(size)
                self.stream.readline(LINE)
            while self.stream.readline(LINE).strip():
                pass
            return
        left = int(self.headers.get("content-length", "0"))
        while left:
            piece = self.stream.read(min(left, LINE))
            if not piece:
                raise ConnectionError("the body ended early")
            left -= len(piece)
            yield piece

    def seconds(self, name, otherwise):
        return float(self.query.get(name, otherwise))

    def answer(self, value, status=200, kind=None):
        body = value if isinstance(value, bytes) else (json.dumps(value) + "\n").encode()
        kind = kind or ("application/octet-stream" if isinstance(value, bytes) else "application/json")
        self.head(status, kind, f"Content-Length: {len(body)}")
        if self.method != "HEAD":
            self.connection.sendall(body)

    def head(self, status, kind, framing):
        text = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n"
        self.connection.sendall(text.encode())

    def chunks(self, pieces, kind="text/plain"):
        self.head(200, kind, "Transfer-Encoding: chunked")
        for piece in pieces:
            if piece:
                self.connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.connection.sendall(b"0\r\n\r\n")


def digest(pieces):
    import hashlib

    total, length = hashlib.sha256(), 0
    for piece in pieces:
        total.update(piece)
        length += len(piece)
    return {"length": length, "sha256": total.hexdigest()}


def echo(request):
    if request.query.get("back"):
        request.answer(b"".join(request.body()))
    else:
        request.answer(digest(request.body()))


def ticks(request, form):
    end, every = time.monotonic() + request.seconds("seconds", 3), request.seconds("every", 0.1)
    count = 0
    while time.monotonic() < end:
        yield form % count
        count += 1
        time.sleep(every)


def fetch(request):
    from urllib.parse import unquote
    from urllib.request import ProxyHandler, build_opener
    from urllib.request import Request as Call

    body = b"".join(request.body())
    call = Call(unquote(request.query["url"]), data=body or None, method=request.method)
    return build_opener(ProxyHandler({})).open(call, timeout=request.seconds("timeout", 60))


def pieces_of(response):
    while piece := response.read1(LINE):
        yield piece


def peer(request):
    from urllib.error import HTTPError

    began = time.monotonic()
    try:
        response = fetch(request)
    except HTTPError as refusal:
        response = refusal
    except OSError as error:
        return request.answer({"error": str(error), "seconds": round(time.monotonic() - began, 4)}, 502)
    with response:
        first = time.monotonic() - began
        body = response.read()
        text = body[:2048].decode(errors="replace")
        told = {"status": response.status, "seconds": round(first, 4), "headers": dict(response.headers), "body": text}
        return request.answer({**told, **digest([body])})


def relay(request):
    with fetch(request) as response:
        request.chunks(pieces_of(response), response.headers.get("Content-Type", "text/plain"))


def big(request):
    left = int(request.query.get("bytes", 1 << 20))
    piece = bytes(range(256)) * 256
    request.head(200, "application/octet-stream", f"Content-Length: {left}")
    while left > 0:
        request.connection.sendall(piece[:left])
        left -= len(piece)


def burn(request):
    end = time.monotonic() + request.seconds("seconds", 1)
    while time.monotonic() < end:
        pass
    request.answer({"burned": request.seconds("seconds", 1)})


def delay(request):
    time.sleep(request.seconds("seconds", 1))
    request.answer({"waited": request.seconds("seconds", 1)})


def touch(request):
    began = time.monotonic()
    total = sum(sum(block[::4096]) for block in ballast)
    request.answer({"sum": total, "seconds": round(time.monotonic() - began, 4)})


def file(request):
    path = os.path.join(DATA, os.path.basename(request.path))
    try:
        match request.method:
            case "PUT" | "POST":
                with open(path, "wb") as target:
                    target.writelines(request.body())
                    target.flush()
                    os.fsync(target.fileno())
                request.answer({"written": path}, 201)
            case "DELETE":
                os.unlink(path)
                request.answer({"deleted": path})
            case _:
                with open(path, "rb") as source:
                    request.answer(source.read())
    except FileNotFoundError:
        request.answer({"missing": path}, 404)


def health(request):
    ready = time.time() - LISTENS[0] >= number("HEALTH_DELAY")
    request.answer({"healthy": ready}, 200 if ready else 503)


def leave(request):
    request.answer({"leaving": True})
    os._exit(int(request.query.get("code", 1)))


def grown(request):
    grow(request.seconds("mb", 10))
    request.answer({"blocks": len(ballast)})


def who(request):
    body = digest(request.body())
    words = {"service": os.environ.get("NAME", ""), "host": socket.gethostname(), "pid": os.getpid(), "born": BORN}
    request.answer({**words, "method": request.method, "target": request.target, **body, "headers": request.headers})


def stream(request):
    request.chunks(ticks(request, b"tick %d\n"))


def events(request):
    request.chunks(ticks(request, b"data: %d\n\n"), "text/event-stream")


PATHS = {
    "/headers": lambda request: request.answer(request.headers),
    "/environment": lambda request: request.answer(dict(os.environ)),
    "/count": lambda request: request.answer({"count": served}),
    "/metrics": lambda request: request.answer(f"web_requests_total {served}\n".encode(), kind="text/plain"),
    "/status": lambda request: request.answer({}, int(request.query["code"])),
    "/echo": echo,
    "/big": big,
    "/stream": stream,
    "/sse": events,
    "/delay": delay,
    "/burn": burn,
    "/grow": grown,
    "/touch": touch,
    "/exit": leave,
    "/peer": peer,
    "/relay": relay,
    HEALTH: health,
}


def websocket(request):
    """Echoes frames as they are, until the other side closes."""
    import base64
    import hashlib

    key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    head = f"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    request.connection.sendall(head.encode())
    while True:
        first, second = request.stream.read(2)
        length = second & 127
        if length > 125:
            length = int.from_bytes(request.stream.read(2 if length == 126 else 8), "big")
        mask = request.stream.read(4) if second & 128 else bytes(4)
        sent = bytes(byte ^ mask[index & 3] for index, byte in enumerate(request.stream.read(length)))
        code = first & 15
        answer = {9: 10}.get(code, code)
        size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
        if length > 65535:
            size = b"\x7f" + length.to_bytes(8, "big")
        request.connection.sendall(bytes([0x80 | answer]) + size + sent)
        if code == 8:
            return


def converse(connection):
    global served
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb") as incoming:
        request = Request(incoming, connection)
        while request.read_head():
            if request.path != HEALTH:
                served += 1
            if request.headers.get("upgrade", "").lower() == "websocket":
                return websocket(request)
            handler = file if request.path.startswith("/data/") else PATHS.get(request.path, who)
            handler(request)
            for _ in request.body() if handler not in (echo, who, file, peer, relay) else ():
                pass
            if request.headers.get("connection", "").lower() == "close":
                return None
    return None


def quietly(connection):
    with contextlib.suppress(OSError, ValueError):
        converse(connection)


def accept_for_ever(server):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=quietly, args=(connection,), daemon=True).start()


def stop(*_):
    time.sleep(number("STOP_DELAY"))
    print("stopping as asked", flush=True)
    os._exit(0)


def probe():
    """For a health check in the container: whether something listens."""
    try:
        socket.create_connection(("127.0.0.1", PORTS[0]), timeout=2).close()
    except OSError as error:
        sys.exit(f"port {PORTS[0]}: {error}")


def main():
    ignored = os.environ.get("IGNORE_SIGTERM") == "1"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignored else stop)
    if number("BALLAST_MB"):
        grow(number("BALLAST_MB"))
    time.sleep(number("START_DELAY"))
    for port in PORTS:
        server = socket.create_server((os.environ.get("BIND", "0.0.0.0"), port), backlog=512)
        threading.Thread(target=accept_for_ever, args=(server,), daemon=True).start()
    LISTENS.append(time.time())
    print(f"listening on {PORTS}", flush=True)
    if number("DIE_AFTER"):
        time.sleep(number("DIE_AFTER"))
        sys.exit("my time has come")
    while True:
        signal.pause()


LISTENS = []
probe() if "--probe" in sys.argv else main()
